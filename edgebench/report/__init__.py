"""Tables and files made from Measurements."""
