"""`pyvern impact`: what a policy would do to the objects that are there, before it is applied.

`world` reads objects page by page; `sides` asks the engine with the given policies and with those in force; `comparison`,
`downstreams` and `targets` say what is new; `findings` holds that; `texts` and `documents` print it.
"""
