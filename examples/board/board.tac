"""The board as a service: ``PORT=8080 twistd -ny examples/board/board.tac``."""

import os
import sys

from twisted.application.service import Application
from twisted.logger import ILogObserver, LogLevel

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))

from examples.board.service import Board
from examples.demo.terminal import observer

application = Application("board")
application.setComponent(ILogObserver, observer(LogLevel.error))
Board(
    port=int(os.environ["PORT"]) if os.environ.get("PORT") else None,
    host=os.environ.get("HOST") or "127.0.0.1",
    imported=os.environ.get("IMPORT") or "",
    checks="CHECK" in os.environ,
).setServiceParent(application)
