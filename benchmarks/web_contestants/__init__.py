"""Programs that bring what happens in Redis to many connected clients.

Each listens on a port of 127.0.0.1 that the system chooses, says ``{"ready": true}``, and answers
every order with that ``port`` and with the ``bytes`` of memory it has: ``{"collect": true}``, once
its garbage is collected. A
rival's program runs in an environment of its own, in which txThoonk is not installed.
"""
