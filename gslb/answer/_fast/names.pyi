# Nothing of it is for Python: other compiled modules take it by its .pxd.
