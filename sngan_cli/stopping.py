"""How the program stops: at once, or while it trains at the end of a step.

SIGINT comes from the keyboard, SIGTERM from a scheduler that wants its machine back, SIGHUP from a terminal that is
closed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from types import FrameType, TracebackType
from typing import NoReturn, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}
_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:  # as nohup has it
    EXIT_CODES[_HANGUP] = 75


class StopAtOnceError(BaseException):
    """A signal outside of training, or a second one in it. (Typer would end a KeyboardInterrupt with exit code 1.)"""

    def __init__(self, number: int = signal.SIGINT, message: str = "interrupted") -> None:
        super().__init__(message)
        self.exit_code = EXIT_CODES[signal.Signals(number)]


def handle_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """Have every signal that stops the program handled so."""
    for number in EXIT_CODES:
        signal.signal(number, handler)


def stop_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal wherever the program is."""
    raise StopAtOnceError(number)


class StopSignal:
    """Context in which the first signal is noted instead of obeyed; a second one is obeyed at once.

    A second SIGHUP is not: the shell and the system both send one where a terminal is closed. Where `patient`, others
    are noted too: for a process that another one will end. That the first one is noted, `say` says at once, in a thread
    of its own: where the signal came, the program may be about to print, and hold what printing waits for.
    """

    def __init__(self, say: Callable[[str], None] | None = None, *, patient: bool = False) -> None:
        self.received: signal.Signals | None = None
        self._patient, self._say = patient, say

    def __call__(self) -> bool:
        """Whether training is to stop."""
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """Exit code of a run that was stopped: 130 from the keyboard, 75 (resumable) by a scheduler."""
        return EXIT_CODES[self.received or signal.SIGTERM]

    def __enter__(self) -> Self:
        self._news = SimpleQueue[str | None]()  # a signal may put into it, wherever it comes
        self._speaker = (
            Thread(target=self._speak, args=(self._say,), name="signals", daemon=True) if self._say else None
        )
        if self._speaker:
            self._speaker.start()
        self._before = {number: signal.signal(number, self._note) for number in EXIT_CODES}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not isinstance(error, StopAtOnceError):  # where the program ends, signals stay ignored
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self._speaker:
            self._news.put(None)
            self._speaker.join()  # before anything is said of how it ended

    def _speak(self, say: Callable[[str], None]) -> None:
        if (news := self._news.get()) is not None:
            say(news)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == _HANGUP:
            return
        if self.received is not None and not self._patient:
            handle_signals(signal.SIG_IGN)  # a third one must not keep the run from being recorded as it was left
            raise StopAtOnceError(number, "stopped at once by a second signal, without another checkpoint")
        self.received = signal.Signals(number)
        self._news.put("stopping at the end of this step; another Ctrl-C or SIGTERM stops at once")
