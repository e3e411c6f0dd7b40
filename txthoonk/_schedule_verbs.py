"""What the verbs of ``thoonk`` that are about schedules do."""

from __future__ import annotations

import argparse
from typing import Any

from txthoonk._verbs import Client, Output, handle_on, stored_type
from txthoonk.errors import FeedDoesNotExist, ItemDoesNotExist, ItemError, ThoonkError

__all__ = ["schedule", "schedules", "unschedule"]


async def schedules(options: argparse.Namespace, out: Output) -> None:
    """List schedules."""
    async with Client(options.redis) as pub:
        for name in options.feed or sorted(await pub.get_feed_names()):
            try:
                kind = await stored_type(pub, name)
                if kind != "job" and not options.feed:
                    continue
                job = await handle_on(pub, name, kind, ("job",))
                found = await job.schedules()
            except (FeedDoesNotExist, ItemError) as error:
                if options.feed:
                    raise
                if isinstance(error, ItemError):  # the other feeds may be read
                    out.tell(str(error))
                continue
            for each in found:
                out.line(name, each.name, when(each), each.missed, each.rule, each.item)


async def schedule(options: argparse.Namespace, out: Output) -> None:
    """Set a schedule; when it is due is printed."""
    settings: dict[str, Any] = {"missed": options.missed, "priority": options.priority}
    async with Client(options.redis) as pub:
        try:
            kind = await stored_type(pub, options.feed)
        except FeedDoesNotExist:
            kind = "job"
        job = await handle_on(pub, options.feed, kind, ("job",))
        try:
            if options.cron is None:
                setting = job.every(options.every, options.item, name=options.name, **settings)
            else:
                settings["timezone"] = options.timezone
                setting = job.cron(options.cron, options.item, name=options.name, **settings)
        except ValueError as error:
            raise ThoonkError(str(error)) from error
        out.line(when(await setting))


async def unschedule(options: argparse.Namespace, out: Output) -> None:
    """Remove a schedule."""
    async with Client(options.redis) as pub:
        job = await handle_on(pub, options.feed, await stored_type(pub, options.feed), ("job",))
        if not await job.unschedule(options.name):
            raise ItemDoesNotExist(options.feed, options.name, "no such schedule")


def when(schedule: Any) -> str:
    """When it is due next."""
    if schedule.next is None:
        return "paused"
    text: str = schedule.next.isoformat(" ", "milliseconds")
    return text.removesuffix("+00:00")
