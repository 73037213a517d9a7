"""Results for people: tables for a terminal, sentences, Markdown.

In: measurements, comparisons, evaluations, studies. Out: rich tables and text; nothing is printed here.
"""
