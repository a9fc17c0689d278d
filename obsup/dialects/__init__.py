"""What differs between the vendors, as data, and pure functions over it: addresses, signatures, hosts.

A vendor is one file (obs, s3, oss) whose value ``registry`` lists. Everything else receives a Dialect as an argument.
``objects`` has the names and the headers of objects.
"""
