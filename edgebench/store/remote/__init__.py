"""A store in a bucket: what is written goes there, what is read comes from there, through a replica in a folder here.

`bucket` has the objects, through fsspec; `failures` says what went wrong with them; `catalogue` is what this machine
knows of the bucket; `index` the objects that say which runs there are; `replica` keeps folder and bucket alike.
"""

from __future__ import annotations
