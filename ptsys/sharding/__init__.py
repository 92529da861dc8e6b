"""Where arrays lie: the mesh of devices and how rows and slots spread over it.

It may import types and errors alone.
"""
