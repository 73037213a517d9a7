"""Results that are kept: runs, documents and scores, as plain files in a folder.

In: subjects with their runs, sessions, evaluations. Out: measurements, put together again; pairs to be compared;
scores of the timed files; rows of SQL, CSV and Parquet.
"""
