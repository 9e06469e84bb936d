import logging

# Refused connections are what many tests are about.
logging.getLogger("aemp").addHandler(logging.NullHandler())
