"""A process that is thoonk.py: it does what it is told, a line of JSON each, and says what it saw.

Runs on Python 2.7 and 3, with thoonk.py's modules on the path: ``driver.py HOST PORT DB LISTEN``.
With LISTEN 1 it tells its handlers' calls too. It begins with ``{"ready": true}``.

==================================== ===========================================================
line                                 answer
==================================== ===========================================================
``{"verb": V, "args": [..]}``        ``{"returned": X}``, or ``{"raised": class, "text": words}``
the same with ``"type"``, ``"feed"`` the same, of a verb of that feed
``{"do": "alive"}``                  whether the listener's thread runs
``{"do": "heed", "args": [event]}``  None; handlers of that event are told from now on
``{"do": "work", ..}``               ids in the order in which they were finished; see ``work``
``{"do": "put", ..}``                ids of jobs; see ``put``
``{"do": "contend", ..}``            ids that were published; see ``contend``
==================================== ===========================================================

Whatever a handler is called with is a line of its own, ``{"heard": [event, arguments ..]}``.
Strings are text, or ``{"base64": ..}`` where the bytes are no UTF-8.
"""

import base64
import json
import sys
import threading

from thoonk import Thoonk
from thoonk.exceptions import Empty

EVENTS = ("create", "delete", "publish", "edit", "retract", "position", "finish")
PYTHON_2 = sys.version_info[0] == 2

_output = threading.Lock()


def tell(**line):
    """Say something."""
    with _output:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def shown(value):
    """What was got, as JSON can have it."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return [[shown(key), shown(value[key])] for key in value]
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(shown(each) for each in value)
    return None if hasattr(value, "thoonk") else value  # a feed


def given(value):
    """An argument as its users give it: in Python 2 that is bytes."""
    if isinstance(value, dict):
        if list(value) == ["base64"]:
            return base64.b64decode(value["base64"])
        return {given(key): given(value[key]) for key in value}
    if isinstance(value, list):
        return [given(each) for each in value]
    if PYTHON_2 and not isinstance(value, (bytes, int, float, type(None))):
        return value.encode("utf-8")
    return value


class Driver:
    """Thoonk, and the handles that were asked for."""

    def __init__(self, host, port, db, listen):
        self.thoonk = Thoonk(host, int(port), int(db), listen=listen)
        self.handles = {}
        if listen:
            for event in EVENTS:
                self.heed(event)

    def handle(self, type, feed):
        """What a user gets of ``thoonk.feed(name)`` and so on."""
        if (type, feed) not in self.handles:
            self.handles[type, feed] = getattr(self.thoonk, type)(feed)
        return self.handles[type, feed]

    def alive(self):
        """Whether the listener runs."""
        return self.thoonk.listener.is_alive()

    def heed(self, event):
        """Tell when handlers of an event are called."""
        self.thoonk.register_handler(event, lambda *args: tell(heard=shown((event,) + args)))  # noqa: RUF005  # Python 2

    def work(self, feed, wait, result=None):
        """Finish jobs until there is none for so many seconds."""
        job = self.handle("job", feed)
        done = []
        while True:
            try:
                id, item, _ = job.get(timeout=wait)
            except Empty:
                return done
            if result is None:
                job.finish(id)
            else:
                job.finish(id, result + item)
            done.append(id)

    def put(self, feed, items):
        """Put jobs."""
        job = self.handle("job", feed)
        return [job.put(item) for item in items]

    def contend(self, feed, prefix, count):
        """Publish as fast as it can, every third time an item that is there already."""
        publish = self.handle("feed", feed).publish
        numbers = [number - number % 3 // 2 for number in range(count)]
        return [publish("item", prefix + str(number)) for number in numbers]

    def answer(self, line):
        """Do what a line says."""
        args = given(line.get("args", []))
        if "do" in line:
            return getattr(self, line["do"])(*args)
        whose = self.handle(line["type"], given(line["feed"])) if "feed" in line else self.thoonk
        return getattr(whose, line["verb"])(*args)


def main():
    """Until the input ends."""
    host, port, db, listen = sys.argv[1:]
    driver = Driver(host, port, db, listen == "1")
    tell(ready=True)
    for line in iter(sys.stdin.readline, ""):
        try:
            returned = driver.answer(json.loads(line))
        except Exception as error:  # whatever it is, whoever asked is told
            tell(raised=type(error).__name__, text=str(error))
        else:
            tell(returned=shown(returned))


if __name__ == "__main__":
    main()
