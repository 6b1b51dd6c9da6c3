"""`python -m antiphon`."""

from __future__ import annotations

from antiphon.main import main

if __name__ == "__main__":
    main()
