"""Actions from web pages."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from tests.stream_helpers import SocketClient
from tests.web_helpers import Answer, WebTestCase
from txthoonk.actions import Act, Actions, anybody, job_id
from txthoonk.web import LiveResource, WebError

ALICE: Any = {"id": "alice", "teams": ["a"]}
BOB: Any = {"id": "bob", "teams": ["b"]}
USERS = {"alice": ALICE, "bob": BOB}


class CallsCase(ActionTestCase, WebTestCase):
    """A group of actions that web pages put."""

    async def setUp(self) -> None:
        """Serve it."""
        await super().setUp()
        self.live = self.serve_actions()

    def serve_actions(self, **options: Any) -> LiveResource:
        """Serve the actions; ``Authorization`` names the user."""

        def authenticate(request: Any) -> Any:
            name = request.getHeader("authorization")
            if name is not None and name not in USERS:
                raise WebError(401, "who?")
            return USERS.get(name)

        options.setdefault("actions", self.actions)
        options.setdefault("authenticate", authenticate)
        live = LiveResource(self.thoonk, lambda user, feed: True, **options)
        self.addCleanup(live.stop)
        self.url = self.serve(live)
        return live

    def declare(self, actions: Actions) -> None:
        """Two more: one that waits, one that fails."""
        super().declare(actions)
        self.gate: Deferred[None] = Deferred()

        @actions.action("wait", authorize=anybody)
        async def wait(act: Act) -> str:
            self.done.append(act)
            await self.gate
            return "at last"

        @actions.action("tell much", authorize=anybody)
        async def tell_much(act: Act) -> str:
            self.done.append(act)
            await self.gate
            return "x" * 100_000

        @actions.action("fail", authorize=anybody)
        def fail(act: Act) -> None:
            raise ValueError("secret")

    async def post(
        self, path: str, body: Any, user: str | None = "alice", wait: float = 0, **headers: str
    ) -> Answer:
        """Post as a user."""
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        if user is not None:
            given["authorization"] = user
        if wait:
            given["prefer"] = f"wait={wait}"
        return await self.ask("POST", f"{self.url}/{path}", body, given)

    async def get(self, path: str, user: str = "alice", wait: float = 0) -> Answer:
        """Get as a user."""
        headers = {"authorization": user, **({"prefer": f"wait={wait}"} if wait else {})}
        return await self.ask("GET", f"{self.url}/{path}", headers=headers)


class CallTests(CallsCase):
    """``POST actions/NAME`` and ``GET actions/NAME/ID``."""

    async def test_at_once(self) -> None:
        """
        An action is put and its id told at once; the answer is there under that id afterwards.
        """
        payload = {"team": "a", "id": "1"}
        answer = await self.post("actions/ship", {"payload": payload, "id": "mine/1"})
        self.assertEqual((answer.code, answer.json), (202, {"code": 202, "id": "mine/1"}))
        pending = await self.get("actions/ship/mine%2F1")
        self.assertEqual((pending.code, pending.json), (202, {"code": 202, "id": "mine/1"}))
        await self.work()
        answer = await self.get("actions/ship/mine%2F1", wait=10)
        result = {"shipped": "1", "by": "alice"}
        self.assertEqual(answer.json, {"code": 200, "result": result, "id": "mine/1"})
        self.assertEqual(answer.get("preference-applied"), "wait=10")
        self.assertEqual(self.done[0].user, ALICE)

    async def test_wait(self) -> None:
        """
        Who wants to wait gets the answer, its status that of HTTP.
        """
        await self.work()
        answer = await self.post("actions/ping", {}, wait=10)
        self.assertEqual((answer.code, answer.json["result"]), (200, "pong"))
        self.assertEqual(answer.get("preference-applied"), "wait=10")
        refused = await self.post("actions/refuse", {}, wait=10)
        self.assertEqual(refused.code, 409)
        self.assertEqual((refused.json["error"], refused.json["after"]), ("not now", "lunch"))
        payload = {"team": "b", "id": "1"}
        self.assertEqual((await self.post("actions/ship", {"payload": payload}, wait=9)).code, 403)
        payload = {"team": "b"}
        self.assertEqual((await self.post("actions/ship", {"payload": payload}, wait=9)).code, 422)
        self.assertEqual((await self.post("actions/ship", {"payload": payload})).code, 422)

    async def test_waits_in_vain(self) -> None:
        """
        Who has waited for long enough gets 202 and the id; who asks for ever, the longest there is.
        """
        answer = await self.post("actions/ping", {"id": "x"}, wait=1)
        self.assertEqual((answer.code, answer.json), (202, {"code": 202, "id": "x"}))
        self.serve_actions(longest_wait=0.5)
        answer = await self.post("actions/ping", {"id": "x"}, wait=999_999_999)
        self.assertEqual(answer.get("preference-applied"), "wait=0.5")
        self.assertEqual(answer.code, 202)

    async def test_preferences(self) -> None:
        """
        The wait is read among other preferences; nonsense is none.
        """
        await self.work()
        for prefer in ("respond-async, wait=9", 'WAIT="9"', "wait = 9;x=1, foo", "a=b,wait=9"):
            answer = await self.post("actions/ping", {}, prefer=prefer)
            self.assertEqual(answer.code, 200, prefer)
        for prefer in ("wait", "wait=", "wait=-1", "wait=x", "wait=1e9", "await=9", ""):
            answer = await self.post("actions/ping", {}, prefer=prefer)
            self.assertEqual(answer.code, 202, prefer)

    async def test_failure(self) -> None:
        """
        A function that fails is 500 to whoever waits, without a word of why.
        """
        await self.work(max_attempts=1)
        answer = await self.post("actions/fail", {}, wait=10)
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"secret", answer.data)
        self.flushLoggedErrors(ValueError)

    async def test_once(self) -> None:
        """
        An id that is given twice is done once; two users may give the same.
        """
        await self.work()
        for _ in range(3):
            answer = await self.post("actions/ping", {"id": "same"}, wait=10)
            self.assertEqual(answer.json["result"], "pong")
        await self.post("actions/ping", {"id": "same"}, "bob", wait=10)
        self.assertEqual([act.user["id"] for act in self.done], ["alice", "bob"])

    async def test_others_answers(self) -> None:
        """
        Nobody gets another one's answer, whatever id is given; what is unknown is 404.
        """
        await self.work()
        await self.post("actions/ping", {"id": "x"}, wait=10)
        self.assertEqual((await self.get("actions/ping/x", "alice")).code, 200)
        for id in ("x", job_id(ALICE, "x").replace(":", "%3A"), "y", "%00", "%0a", "a" * 201):
            answer = await self.get(f"actions/ping/{id}", "bob")
            self.assertIn(answer.code, (400, 404, 422), id)
            self.assertEqual(answer.json["code"], answer.code)
        self.assertEqual((await self.get("actions/nothing/x")).code, 404)
        before = await self.redis.execute("DBSIZE")
        self.assertEqual((await self.post("actions/nothing", {})).code, 404)
        self.assertEqual(await self.redis.execute("DBSIZE"), before)

    async def test_forged_user(self) -> None:
        """
        The user is whoever the server says, whatever is in the body.
        """
        await self.work()
        body = {"payload": {}, "user": BOB, "code": 1, "action": "fail"}
        self.assertEqual((await self.post("actions/ping", body, wait=10)).code, 200)
        self.assertEqual(self.done[0].user, ALICE)
        body = {"payload": {"team": "b", "id": "1", "user": BOB}}
        self.assertEqual((await self.post("actions/ship", body, wait=10)).code, 422)

    async def test_revisions(self) -> None:
        """
        What has changed since the user saw it is 409, with what changed.
        """
        await self.work()
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        at = (await self.ask("GET", f"{self.url}/feeds/{feed.name}")).json["at"]
        body = {"payload": {}, "revisions": {feed.name: at}}
        self.assertEqual((await self.post("actions/ping", body, wait=10)).code, 200)
        await feed.publish("b", id="2")
        answer = await self.post("actions/ping", body, wait=10)
        self.assertEqual(answer.code, 409)
        self.assertIn(feed.name, answer.json["changed"])

    async def test_wrong_bodies(self) -> None:
        """
        What is in the body is checked before anything is put.
        """
        before = await self.redis.execute("DBSIZE")
        for body in (
            *([], "x", 1, None, {"payload": []}, {"payload": "x"}, {"payload": None}, {"id": 1}),
            *({"revisions": []}, {"revisions": {"f": 1}}, {"id": {}}, {"payload": {}, "id": ["x"]}),
        ):
            given = {"content-type": "application/json"}
            if body is None:
                answer = await self.ask(
                    "POST", f"{self.url}/actions/ping", raw=b"null", headers=given
                )
            else:
                answer = await self.post("actions/ping", body)
            self.assertEqual(answer.code, 400, body)
        for body in ({"id": ""}, {"id": "a" * 201}, {"id": "\n"}, {"revisions": {"f": "x"}}):
            answer = await self.post("actions/ping", {"payload": {}, **body}, wait=1)
            self.assertIn(answer.code, (202, 400, 422), body)
        self.assertLessEqual(await self.redis.execute("DBSIZE"), before + 12)
        for path in ("actions", "actions/", "actions/ping/x/y", "can/x"):
            self.assertIn((await self.post(path, {})).code, (404, 405))
        self.assertEqual((await self.get("actions/ping")).code, 405)
        self.assertEqual((await self.post("actions/ping/x", {})).code, 405)
        self.assertEqual((await self.post("actions/%00", {})).code, 400)

    async def test_unknown_users(self) -> None:
        """
        Who is refused gets 401 and how to come in; unknown users are for the rule to judge.
        """
        answer = await self.post("actions/ping", {}, "mallory")
        self.assertEqual((answer.code, answer.json["error"]), (401, "who?"))
        self.assertEqual(answer.get("www-authenticate"), "Bearer")
        await self.work()
        self.assertEqual((await self.post("actions/ping", {}, None, wait=10)).code, 200)
        self.assertIsNone(self.done[0].user)

    async def test_client_goes_away(self) -> None:
        """
        When a client goes that waits, the wait ends and the action does not.
        """
        await self.work()
        raw = await self.raw()
        raw.send(
            b"POST /actions/wait HTTP/1.1\r\nHost: a\r\nAuthorization: alice\r\n"
            b"Content-Type: application/json\r\nPrefer: wait=50\r\nContent-Length: 10\r\n\r\n"
            b'{"id":"x"}'
        )
        await until(lambda: self.done)
        self.assertEqual(len(self.live.access.waiting), 1)
        assert raw.transport is not None
        raw.transport.loseConnection()
        await until(lambda: not len(self.live.access.waiting))
        self.gate.callback(None)
        answer = await self.get("actions/wait/x", wait=10)
        self.assertEqual(answer.json["result"], "at last")

    async def test_limits(self) -> None:
        """
        Too many at a time, or per second, are 429 with when to come again; other users are not.
        """
        self.serve_actions(max_waiting=1)
        await self.work(concurrency=10)
        waits = Deferred.fromCoroutine(self.post("actions/wait", {}, wait=30))
        await until(lambda: self.done)
        answer = await self.post("actions/ping", {}, wait=10)
        self.assertEqual(answer.code, 429)
        self.assertEqual(answer.get("retry-after"), "1")
        self.assertEqual((await self.post("actions/ping", {}, "bob", wait=10)).code, 200)
        self.gate.callback(None)
        await waits
        self.assertEqual((await self.post("actions/ping", {}, wait=10)).code, 200)
        self.serve_actions(rate=0.1, burst=3)
        codes = [(await self.post("actions/ping", {})).code for _ in range(5)]
        self.assertEqual(codes, [202, 202, 202, 429, 429])
        self.assertEqual((await self.post("actions/ping", {}, "bob")).code, 202)

    async def test_size(self) -> None:
        """
        A body that is too large is 413 on any site.
        """
        answer = await self.post("actions/ping", {"payload": {"a": "x" * 70_000}})
        self.assertEqual(answer.code, 413)
        self.serve_actions(max_body=100)
        self.assertEqual((await self.post("actions/ping", {"x": "x" * 100})).code, 413)

    async def test_no_actions(self) -> None:
        """
        Where there are no actions their paths are 404.
        """
        self.serve_actions(actions=None)
        self.assertEqual((await self.post("actions/ping", {})).code, 404)
        self.assertEqual((await self.post("can", [])).code, 404)

    async def test_redis_is_away(self) -> None:
        """
        What cannot be put is 503: the client may try again with the same id.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.3)
        self.thoonk = thoonk
        self.serve_actions()
        await server.stop()
        for wait in (0, 5):
            answer = await self.post("actions/ping", {"id": "x"}, wait=wait)
            self.assertEqual(answer.code, 503)
            self.assertTrue(answer.get("retry-after"))


class CanTests(CallsCase):
    """``POST can``."""

    async def test_can(self) -> None:
        """
        Several questions are answered in order, by the rules that the actions have.
        """
        questions = [
            {"action": "ship", "payload": {"team": "a", "id": "1"}},
            {"action": "ship", "payload": {"team": "b", "id": "1"}},
            {"action": "ship", "payload": {}},
            {"action": "ping"},
            {"action": "nothing"},
        ]
        answer = await self.post("can", questions)
        self.assertEqual(answer.json, {"code": 200, "can": [True, False, False, True, False]})
        answer = await self.post("can", questions, "bob")
        self.assertEqual(answer.json["can"], [False, True, False, True, False])
        self.assertEqual((await self.post("can", [])).json, {"code": 200, "can": []})
        self.assertEqual(self.done, [])

    async def test_wrong(self) -> None:
        """
        What is no question is 400; too many are 413; each counts.
        """
        for body in ({}, [1], [{}], [{"action": 1}], [{"action": "x", "payload": []}], "x"):
            self.assertEqual((await self.post("can", body)).code, 400, body)
        self.assertEqual((await self.post("can", [{"action": "ping"}] * 101)).code, 413)
        self.assertEqual((await self.get("can")).code, 405)
        self.serve_actions(rate=0.1, burst=10)
        codes = [(await self.post("can", [{"action": "ping"}] * 4)).code for _ in range(4)]
        self.assertEqual(codes, [200, 200, 429, 429])


class SocketCallTests(CallsCase):
    """The same on a WebSocket."""

    async def socket(self, user: str = "alice", **headers: str) -> SocketClient:
        """A socket of a user."""
        from twisted.internet import reactor

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        client: SocketClient = await connectProtocol(endpoint, SocketClient())
        self.addCleanup(client.cut)
        client.ask("/socket", {"authorization": user, **headers})
        await client.when(lambda: client.head or client.lost)
        return client

    async def answer(self, client: SocketClient, message: dict[str, Any]) -> dict[str, Any]:
        """What a message is answered with."""
        ref = len(client.mirror.log) + 1000
        client.send({**message, "ref": ref})

        def look() -> Any:
            return any(each.get("ref") == ref for each in client.mirror.log)

        await client.when(look)
        found = next(each for each in client.mirror.log if each.get("ref") == ref)
        del found["ref"]
        return found

    async def test_actions(self) -> None:
        """
        Actions are answered by their refs, refused ones too.
        """
        await self.work()
        client = await self.socket()
        answer = await self.answer(client, {"action": "ping", "payload": {}, "id": "x"})
        self.assertEqual(answer, {"type": "result", "id": "x", "code": 200, "result": "pong"})
        again = await self.answer(client, {"action": "ping", "id": "x"})
        self.assertEqual(again, answer)
        answer = await self.answer(client, {"action": "refuse", "user": BOB, "id": "y"})
        self.assertEqual(answer["code"], 409)
        self.assertEqual((answer["type"], answer["id"]), ("result", "y"))
        for message, code in (
            ({"action": "nothing", "id": "z"}, 404),
            ({"action": 7}, 400),
            ({"action": "ping", "payload": []}, 400),
            ({"action": "ping", "payload": {"x": 1}}, 422),
            ({"action": "ping", "id": 5}, 400),
            ({"action": "ship", "payload": {"team": "b", "id": "1"}}, 403),
        ):
            answer = await self.answer(client, message)
            self.assertEqual((answer["type"], answer["code"]), ("result", code), message)
        self.assertEqual([act.user for act in self.done], [ALICE])

    async def test_can(self) -> None:
        """
        Questions are answered in order.
        """
        client = await self.socket("bob")
        asked = [{"action": "ping"}, {"action": "ship", "payload": {"team": "a", "id": "1"}}]
        answer = await self.answer(client, {"can": asked})
        self.assertEqual(answer, {"type": "can", "can": [True, False]})
        answer = await self.answer(client, {"can": 7})
        self.assertEqual((answer["type"], answer["code"]), ("error", 400))

    async def test_closed(self) -> None:
        """
        A socket that is closed ends its waits, and not its actions.
        """
        await self.work()
        client = await self.socket()
        client.send({"action": "wait", "id": "x", "ref": 1})
        await until(lambda: self.done)
        self.assertEqual(len(self.live.access.waiting), 1)
        client.cut()
        await until(lambda: not len(self.live.access.waiting))
        self.gate.callback(None)
        self.assertEqual((await self.get("actions/wait/x", wait=10)).json["result"], "at last")

    async def test_other_origins(self) -> None:
        """
        Pages of other sites get no socket and no stream; those of this one do.
        """
        for headers in (
            {"Origin": "https://evil.org"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            upgrade = (
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            )
            for path, more in (("stream?feed=f", ""), ("socket", upgrade)):
                raw = await self.raw()
                raw.send(f"GET /{path} HTTP/1.1\r\nHost: a\r\n{lines}{more}\r\n".encode())
                await raw.when(lambda raw: b"}" in raw.received)
                self.assertTrue(raw.received.startswith(b"HTTP/1.1 403 "))
        client = await self.socket(Origin="http://localhost")
        self.assertEqual(client.head, b"101")

    async def test_unread(self) -> None:
        """
        A client that has much done and takes no answers is cut off before all of them are kept for
        it; what it wanted is done.
        """
        await self.work(concurrency=200)
        client = await self.socket()
        client.stop_reading()
        for i in range(150):
            client.send({"action": "tell much", "id": str(i)})
        await until(lambda: len(self.done) == 150)
        (stream,) = self.live.hub.streams
        self.gate.callback(None)
        kept = 0

        def look() -> bool:
            nonlocal kept
            kept = max(kept, sum(map(len, stream._answers or ())))
            return stream.closed

        await until(look)
        self.assertLess(kept, 2_000_000)
        answer = await self.get("actions/tell%20much/149", wait=10)
        self.assertEqual(answer.json["code"], 200)
