"""The program that holds one fault at one replica, and lets go when nobody holds *it* any more.

It runs in the victim's namespaces, so it is standard library only, knows nothing of drill but this package, and
runs from a checkout, a wheel or a zipapp: ``python -m drill.agent hold|abilities|snapshot|clear``.
"""
