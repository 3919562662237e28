#!/usr/bin/env python3
"""A Parley client, written from PROTOCOL.md alone ([n] are its sections), with nothing but the standard library.

  client.py [--api URL] [--state FILE] HANDLE PASSWORD send PEER [TEXT ...]  without TEXT: a message per line of stdin
  client.py [--api URL] [--state FILE] HANDLE PASSWORD tail PEER [COUNT]     prints COUNT messages, missed ones first

The state file is the device: tokens, lineage, outbox, how far the dm was read. One process at a time uses it.
"""
import argparse, base64, fcntl, hashlib, json, os, random, select, socket, ssl, struct, sys, time
from urllib import error, parse, request

HELLO, WELCOME, PING, ERROR, SEND, ACK, EVENT, SKIP = 1, 2, 3, 5, 20, 21, 22, 23
FETCH, PAGE, SYNC, CHANGES = 30, 31, 32, 33
MESSAGE, WINDOW, CONFLICT, OUT_OF_ORDER, UNKNOWN_LINEAGE = 1, 32, 30, 32, 33


class Closed(Exception):
    """The connection is over; below 4500 another one is worth a try [13]."""

    def __init__(self, code, why=''):
        super().__init__(f'closed with {code} {why}')
        self.code = code


# --- MessagePack, the strict subset [2] ---

def encode(value):
    if value is None or isinstance(value, bool):
        return {None: b'\xc0', False: b'\xc2', True: b'\xc3'}[value]
    if isinstance(value, int):
        for limit, head, form in ((1 << 7, b'', '>B'), (1 << 8, b'\xcc', '>B'), (1 << 16, b'\xcd', '>H'),
                                  (1 << 32, b'\xce', '>I'), (1 << 53, b'\xcf', '>Q')):
            if 0 <= value < limit:
                return head + struct.pack(form, value)
        raise ValueError(value)
    if isinstance(value, str):
        data, small, heads = value.encode(), 32, ((1 << 8, 0xd9, '>B'), (1 << 16, 0xda, '>H'))
        size, fix = len(data), 0xa0
    else:
        data, small, heads = b''.join(map(encode, value)), 16, ((1 << 16, 0xdc, '>H'),)
        size, fix = len(value), 0x90
    if size < small:
        return bytes([fix | size]) + data
    head, form = next((head, form) for limit, head, form in heads if size < limit)
    return bytes([head]) + struct.pack(form, size) + data


def decode(data, at=0):
    """One value, and where the next one starts."""
    def take(size):
        nonlocal at
        at += size
        if at > len(data):
            raise ValueError('truncated')
        return data[at - size:at]

    head = take(1)[0]
    if head < 0x80:
        return head, at
    if head in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[head], at
    if 0xcc <= head <= 0xcf:
        return int.from_bytes(take(1 << (head - 0xcc)), 'big'), at
    if 0x90 <= head <= 0x9f or head in (0xdc, 0xdd):
        size, items = head & 15 if head < 0xa0 else int.from_bytes(take(2 if head == 0xdc else 4), 'big'), []
        for _ in range(size):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    if 0xa0 <= head <= 0xbf:
        return take(head & 31).decode(), at
    width = {0xd9: 1, 0xda: 2, 0xdb: 4, 0xc4: 1, 0xc5: 2, 0xc6: 4}[head]
    content = take(int.from_bytes(take(width), 'big'))
    return content.decode() if head >= 0xd9 else content, at


# --- WebSocket, as much as a client needs [1] ---

class WebSocket:
    def __init__(self, url):
        to = parse.urlparse(url)
        port = to.port or (443 if to.scheme == 'wss' else 80)
        self.socket = socket.create_connection((to.hostname, port), 10)
        if to.scheme == 'wss':
            self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=to.hostname)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f'GET {to.path or "/"} HTTP/1.1\r\nHost: {to.netloc}\r\nUpgrade: websocket\r\n'
                             f'Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n').encode())
        self.data = self.fragments = b''
        while b'\r\n\r\n' not in self.data:
            self.receive()
        head, self.data = self.data.split(b'\r\n\r\n', 1)
        proof = hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()
        if b' 101 ' not in head.split(b'\r\n')[0] or base64.b64encode(proof) not in head:
            raise Closed(1006, head.split(b'\r\n')[0].decode())

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(1006)
        self.data += data

    def send(self, payload, opcode=2):
        size, mask = len(payload), os.urandom(4)
        length = bytes([0x80 | size]) if size < 126 else b'\xfe' + struct.pack('>H', size)
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def read(self, seconds):
        """The next message, or None when none comes in time."""
        until = time.monotonic() + seconds
        while True:
            size, at = self.data[1] & 127 if len(self.data) > 1 else 0, 2
            if size > 125:
                at = 4 if size == 126 else 10
                size = int.from_bytes(self.data[2:at], 'big')
            if len(self.data) >= at + size:
                opcode, final, content = self.data[0] & 15, self.data[0] & 0x80, self.data[at:at + size]
                self.data = self.data[at + size:]
                if opcode == 8:
                    raise Closed(int.from_bytes(content[:2], 'big') or 1005, content[2:].decode())
                if opcode == 9:
                    self.send(content, 10)
                if opcode < 3:
                    self.fragments += content
                    if final:
                        content, self.fragments = self.fragments, b''
                        return content
                continue
            left = max(0, until - time.monotonic())
            if getattr(self.socket, 'pending', int)() or select.select([self.socket], [], [], left)[0]:
                self.receive()
            else:
                return None


# --- the device ---

class Device:
    def __init__(self, api, path, handle, password):
        self.api, self.path, self.handle, self.password = api, path, handle, password
        self.lock = open(path + '.lock', 'w')
        fcntl.flock(self.lock, fcntl.LOCK_EX)  # one outbox, one process [6]
        self.saved = open(path).read() if os.path.exists(path) else '{}'
        self.state = json.loads(self.saved)
        self.req = self.shown = 0

    def save(self):
        text = json.dumps(self.state)
        if text == self.saved:
            return
        with open(self.path + '.new', 'w') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + '.new', self.path)
        self.saved = text

    def call(self, path, body=None):  # [3]
        headers = {'content-type': 'application/json', 'authorization': 'Bearer ' + self.state.get('access', '')}
        data = None if body is None else json.dumps(body).encode()
        with request.urlopen(request.Request(self.api + path, data, headers), timeout=20) as answer:
            return json.load(answer)

    def login(self):
        """A new access token: by the refresh token, else by logging in, else by making the account."""
        account = {'handle': self.handle, 'password': self.password, 'device': 'client.py'}
        ways = [('/v1/refresh', {'refreshToken': self.state.get('refresh', '')}), ('/v1/login', account), ('/v1/register', account)]
        for path, body in ways if 'refresh' in self.state else ways[1:]:
            try:
                grant = self.call(path, body)
            except error.HTTPError as refused:
                if refused.code == 401 and path != '/v1/register':
                    continue
                raise SystemExit(f'{path}: {refused.read().decode()}')
            if grant['device'] != self.state.get('device'):
                self.state = {'rooms': {}}  # a new device has nothing
            self.state |= {'user': grant['user'], 'device': grant['device'], 'access': grant['accessToken'], 'refresh': grant['refreshToken']}
            return self.save()

    def ask(self, kind, *fields):
        self.req += 1
        self.socket.send(encode([kind, self.req, *fields]))
        return self.req

    def frames(self, seconds):
        message, at, frames = self.socket.read(seconds) or b'', 0, []
        while at < len(message):
            frame, at = decode(message, at)
            frames.append(frame)
        return frames

    def connect(self):
        self.socket = WebSocket(self.call('/v1/gateway')['url'])
        self.ask(HELLO, 1, self.state.get('resume') or self.state['access'], self.state.get('cursor'), self.state.get('lineage'))
        welcome, *self.early = self.frames(10) or [[None]]
        while welcome[0] != WELCOME:  # an error: the close code that follows says what to do
            welcome = (self.frames(10) or [[None]])[0] if welcome[0] else self.silent()
        self.heartbeat, self.state['lineage'], self.state['resume'] = welcome[5] / 1000, welcome[6], welcome[7]
        self.ping_at, self.pong_by = time.monotonic() + self.heartbeat / 2, None
        self.sent, self.window, self.again_at, self.fetching, self.kept = {}, WINDOW, 0, 0, {}
        self.changes(welcome[9], welcome[11], welcome[12])

    def silent(self):
        raise Closed(1006, 'the server is silent')

    # --- sending, exactly once [6]: outbox holds [n, hex of the frame from its room on] ---

    def enqueue(self, texts):
        here, outbox = self.here, self.here['outbox']
        while texts and (not outbox or here['n'] + 1 - outbox[0][0] < WINDOW):
            here['n'] += 1
            low = outbox[0][0] if outbox else here['n']
            fields = [self.room, self.state['lineage'], 0, here['n'], low, texts.pop(0), self.peer]
            outbox.append([here['n'], b''.join(map(encode, fields)).hex()])
        self.save()

    def flush(self):
        burst, under_way = b'', set(self.sent.values())
        for n, tail in self.here['outbox']:
            if len(self.sent) >= int(self.window):
                break
            if n not in under_way:
                self.req += 1
                self.sent[self.req] = n
                burst += b'\x99' + encode(SEND) + encode(self.req) + bytes.fromhex(tail)
                if len(burst) > 32768:
                    break
        if burst:
            self.socket.send(burst)

    def settle(self, req, refusal=None):
        n, outbox = self.sent.pop(req, None), self.here['outbox']
        if n is None:
            return
        code, temporary = (refusal[2], refusal[3]) if refusal else (0, False)
        if code in (UNKNOWN_LINEAGE, CONFLICT) or code == OUT_OF_ORDER and int(refusal[5]) < outbox[0][0]:
            raise SystemExit(f'message {n}: look in the history, then send it anew under a new lineage')
        if temporary:  # this one and those after it again, in order, fewer at once
            self.sent = {req: m for req, m in self.sent.items() if m < n}
            self.window = max(1, self.window / 2)
            return
        self.window = min(WINDOW, self.window + 1 / self.window)
        if refusal:
            print(f'message {n} was refused: {refusal}', file=sys.stderr)
        self.here['outbox'] = [item for item in outbox if item[0] != n]

    # --- receiving without a gap [7, 9] ---

    def changes(self, cursor, more, pointers):
        for pointer in pointers:
            if pointer[0] == self.room:
                self.here['head'] = max(self.here['head'], pointer[2])
        self.state['cursor'] = cursor
        if more:
            self.ask(SYNC, cursor)

    def take(self, frame):
        """Keeps an event or skip of the room, and shows what is next in line."""
        here, (kind, room, first, last) = self.here, frame[:4]
        if room != self.room:
            return
        last = first if kind == EVENT else last
        here['head'] = max(here['head'], last)
        self.kept[first] = (last, frame)
        while self.shown < self.count and (ready := [first for first in self.kept if first <= here['have'] + 1]):
            last, frame = self.kept.pop(min(ready))
            if last > here['have']:
                here['have'] = last
                self.show(frame)

    def show(self, frame):
        if frame[0] != EVENT or frame[7] != MESSAGE:
            return
        _, room, seq, _, ident, when, sender, _, body = frame[:9]
        line = {'room': room, 'seq': seq, 'id': str(ident), 'time': when, 'sender': sender, 'text': body[0]}
        print(json.dumps(line, ensure_ascii=False), flush=True)
        self.shown += 1

    def step(self, follow):
        """Does what is due, then takes what comes within a moment."""
        now = time.monotonic()
        if self.pong_by and now > self.pong_by:
            self.silent()
        if now > self.ping_at:
            self.ping_at, self.pong_by = now + self.heartbeat / 2, now + 10
            self.ask(PING)
        if now > self.again_at:
            self.flush()
        if follow and self.here['head'] > self.here['have'] and not self.fetching and now > self.again_at:
            self.fetching = self.ask(FETCH, self.room, self.here['have'] + 1, 256, False)
        frames, self.early = self.early + self.frames(0.05), []
        for frame in frames:
            kind, self.pong_by = frame[0], None
            if kind == ERROR and frame[3]:
                self.again_at = max(self.again_at, now + max(frame[4], 50) / 1000)
            if kind in (ACK, ERROR):
                self.settle(frame[1], frame if kind == ERROR else None)
            elif kind in (EVENT, SKIP) and follow:
                self.take(frame)
            elif kind == PAGE:
                for event in frame[5]:
                    self.take(event)
            elif kind == CHANGES:
                self.changes(frame[2], frame[4], frame[5])
            if kind in (PAGE, ERROR) and frame[1] == self.fetching:
                self.fetching = 0

    def run(self, peer, texts, count):
        """Sends the texts, shows `count` messages, through as many connections as that takes."""
        self.login()
        self.count = count
        self.peer, tries = self.call('/v1/users/' + parse.quote(peer))['user'], 0
        pair = '\0'.join(sorted([self.state['user'], self.peer])).encode()
        self.room = 'd' + base64.urlsafe_b64encode(hashlib.sha256(pair).digest()).decode()[:22]  # [5]
        self.here = self.state['rooms'].setdefault(self.room, {'n': 0, 'outbox': [], 'have': 0, 'head': 0})
        while True:
            try:
                self.connect()
                tries = 0
                while texts or self.here['outbox'] or self.shown < count:
                    self.enqueue(texts)
                    self.step(follow=count > 0)
                self.save()
                return self.socket.send(struct.pack('>H', 1000), 8)
            except (Closed, OSError) as cut:
                code = cut.code if isinstance(cut, Closed) else 1006
                print(cut, file=sys.stderr)
                if code in (4500, 4506) and (self.state.pop('resume', None) or code == 4506):
                    self.login()
                elif code >= 4500:
                    raise SystemExit(1)
                time.sleep(random.random() * min(30, 2 ** tries))  # [13]
                tries += 1


if __name__ == '__main__':
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--api', default='http://127.0.0.1:8080')
    args.add_argument('--state')
    args.add_argument('handle')
    args.add_argument('password')
    args.add_argument('command', choices=['send', 'tail'])
    args.add_argument('peer')
    args.add_argument('rest', nargs='*')
    given = args.parse_args()
    device = Device(given.api.rstrip('/'), given.state or f'.parley-{given.handle}.json', given.handle, given.password)
    if given.command == 'send':
        lines = [' '.join(given.rest)] if given.rest else [line.rstrip('\n') for line in sys.stdin]
        device.run(given.peer, [line for line in lines if line], 0)
    else:
        device.run(given.peer, [], int(given.rest[0]) if given.rest else sys.maxsize)
