"""The secured house: certificates, users and rights, so that the broker may listen on a network.

Everything is in one directory (0700) below the data folder. `household.json` says who belongs to
the house and by which secret; all other files are made from it.
"""
