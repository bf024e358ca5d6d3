"""The host's end of a link: a reliable stream of bytes in each direction."""

from .wire import DATA_LENGTH, Ack, Close, Data, Open, Opened, Packet, Reset

WINDOW = 4096
HEARTBEAT = 0.5
SILENCE = 10.0
OPEN_AGAIN = 0.05
FRAME_OVERHEAD = 15
ADAPTERS = 0.06
SMALLEST = 8
CALM = 32
REPEATED = 3


def distance(to: int, start: int) -> int:
    """Bytes from one sequence number to another, modulo 65536."""
    return (to - start) % 65536


class Sender:
    """The stream that goes out. `waiting` begins at `base`, the first byte that was not
    acknowledged; `sent` and `next` count from there."""

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.base = self.next = self.sent = 0
        self.piece = DATA_LENGTH
        self.since = 0.0
        self.timeouts = self.repeated = 0
        self.alone = False
        self.calm = CALM

    def write(self, data: bytes) -> int:
        count = min(len(data), WINDOW - len(self.waiting))
        self.waiting += data[:count]
        return count

    def acknowledged(self, sequence: int, now: float) -> bool:
        moved = distance(sequence, self.base)
        if moved > self.sent:
            return False
        if moved == 0:
            self.repeated += 1 if self.sent else 0
            if self.repeated == REPEATED:
                self.alone = True
                self.lost()
            return True
        del self.waiting[:moved]
        self.base = sequence
        self.sent -= moved
        self.next = max(0, self.next - moved)
        self.since, self.timeouts, self.repeated, self.alone = now, 0, 0, False
        self.calm += -(-moved // self.piece)
        if self.calm >= 2 * CALM and self.piece < DATA_LENGTH:
            self.piece = min(2 * self.piece, DATA_LENGTH)
            self.calm = CALM
        return True

    def lost(self) -> None:
        """A second loss within a few pieces says that they are too large for the line."""
        if self.calm < CALM:
            self.piece = max(self.piece // 2, SMALLEST)
        self.calm = 0

    def next_piece(self, now: float, baud: int) -> Data | None:
        if self.sent and now - self.since >= self.patience(baud):
            self.since = now
            self.timeouts += 1
            if self.calm >= CALM and self.timeouts == 1:
                self.alone = True
            else:
                self.next = 0
                self.lost()
        if self.alone:
            self.alone = False
            return self.at(0, self.sent)
        if self.next < self.sent:
            piece = self.at(self.next, self.sent)
        elif self.sent < len(self.waiting):
            if not self.sent:
                self.since = now
            piece = self.at(self.sent, len(self.waiting))
            self.sent += len(piece.data)
        else:
            return None
        self.next += len(piece.data)
        return piece

    def at(self, start: int, end: int) -> Data:
        data = bytes(self.waiting[start : min(end, start + self.piece)])
        return Data((self.base + start) % 65536, data)

    def patience(self, baud: int) -> float:
        pieces = -(-self.sent // self.piece) + 2
        return ADAPTERS + 2 * 10 * (self.sent + pieces * FRAME_OVERHEAD) / baud


class Receiver:
    """The stream that comes in: what came out of order waits by its distance."""

    def __init__(self) -> None:
        self.taken = 0
        self.ahead: dict[int, int] = {}
        self.owes_ack = False

    def take(self, packet: Data) -> bytes:
        """Keeps what is new; gives what is now complete."""
        self.owes_ack = True
        for offset, byte in enumerate(packet.data):
            sequence = (packet.sequence + offset) % 65536
            if distance(sequence, self.taken) < WINDOW:
                self.ahead.setdefault(sequence, byte)
        whole = bytearray()
        while self.taken in self.ahead:
            whole.append(self.ahead.pop(self.taken))
            self.taken = (self.taken + 1) % 65536
        return bytes(whole)


class Endpoint:
    """The host's end. It waits for nothing and reads no clock."""

    def __init__(self, baud: int) -> None:
        self.baud = baud
        self.nonce = 0
        self.state = "closed"
        self.restart(0.0)

    def restart(self, now: float) -> None:
        self.sender = Sender()
        self.receiver = Receiver()
        self.heard = now
        self.spoke = 0.0
        self.asked = float("-inf")

    def open(self, nonce: int, now: float) -> None:
        self.restart(now)
        self.nonce = nonce
        self.state = "opening"

    @property
    def is_settled(self) -> bool:
        return not self.sender.waiting

    def receive(self, packet: Packet, now: float) -> bytes | None:
        """Takes a packet; gives the bytes that are complete, `None` where a link began."""
        self.heard = now
        match packet, self.state:
            case Opened(nonce), "opening" if nonce == self.nonce:
                self.state = "open"
                return None
            case Data(), "open":
                return self.receiver.take(packet)
            case Ack(sequence), "open":
                if not self.sender.acknowledged(sequence, now):
                    self.state = "closed"
            case ((Reset() | Close()), "open"):
                self.state = "closed"
        return b""

    def next_packet(self, now: float) -> Packet | None:
        if now - self.heard > SILENCE:
            self.state = "closed"
        if self.state == "opening" and now - self.asked >= OPEN_AGAIN:
            self.asked = now
            return Open(self.nonce)
        if self.state != "open":
            return None
        if self.receiver.owes_ack or now - self.spoke >= HEARTBEAT:
            self.receiver.owes_ack = False
            self.spoke = now
            return Ack(self.receiver.taken)
        piece = self.sender.next_piece(now, self.baud)
        if piece:
            self.spoke = now
        return piece
