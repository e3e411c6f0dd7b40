"""The demo as a service: ``REPO=path twistd -ny examples/history/history.tac``."""

import os
import sys

from twisted.application.service import Application
from twisted.logger import ILogObserver, LogLevel

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))

from examples.demo.terminal import observer
from examples.history.service import History

application = Application("history")
application.setComponent(ILogObserver, observer(LogLevel.warn))
History(os.environ.get("REPO") or ".", stay="STAY" in os.environ).setServiceParent(application)
