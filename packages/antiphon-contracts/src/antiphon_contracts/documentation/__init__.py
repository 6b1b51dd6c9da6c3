"""The contract as documents, made from the contract: page, JSON Schema, AsyncAPI and examples.

`python -m antiphon_contracts.documentation` writes them into a checkout.
"""

from __future__ import annotations

from antiphon_contracts.documentation.examples import example_message, example_payload
from antiphon_contracts.documentation.files import documents, golden_files

__all__ = ["documents", "example_message", "example_payload", "golden_files"]
