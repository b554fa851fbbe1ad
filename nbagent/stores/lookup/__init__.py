"""
What is in a store, for people and for other programs: search, tables, a database to look into.

Rule 1: nothing here writes to a store, and nothing here knows its tables: it reads what every store
        says of its threads, so it is current, also while they run, and the same for all of them.
Rule 2: what a store keeps encrypted is written nowhere in the clear unless somebody says so.
Rule 3: sqlite-utils is imported by the call that needs it, never by `import nbagent`.
"""
