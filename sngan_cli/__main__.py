"""Where the program begins, as `sngan` and as `python -m sngan_cli`: a signal ends it quietly from here on."""

import gc
import sys

from sngan_cli.stopping import StopAtOnceError, handle_signals, stop_at_once


def main() -> None:
    """Import the program and run it."""
    handle_signals(stop_at_once)
    try:
        from sngan_cli.app import main as run

        run()
    except StopAtOnceError as error:
        raise SystemExit(error.exit_code) from None
    finally:
        # The interpreter would look through all that was imported, which takes a tenth of a short command.
        # Libraries that torch loads would complain of what is left without it.
        if "torch" not in sys.modules:
            gc.freeze()


if __name__ == "__main__":
    main()
