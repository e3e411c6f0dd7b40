"""The demo as a service: ``REPO=path twistd -ny examples/history/history.tac``."""

import os
import sys

from twisted.application.service import Application
from twisted.logger import ILogObserver

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))

from examples.history.service import History
from examples.history.terminal import observe

application = Application("history")
application.setComponent(ILogObserver, observe)
History(os.environ.get("REPO") or ".", stay="STAY" in os.environ).setServiceParent(application)
