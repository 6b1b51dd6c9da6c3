"""`antiphon models`: weights listed, fetched and verified."""

from __future__ import annotations

from typing import Annotated

import typer
from antiphon_contracts import ConfigError
from antiphon_models import CATALOGUE, ModelStore
from antiphon_runtime import RuntimeSettings, load_settings
from rich.console import Console

from antiphon import weights
from antiphon.output import EXIT_WRONG, Json, print_json

Defaults = Annotated[bool, typer.Option("--defaults", help="All that the settings in force need.")]

models_app = typer.Typer(help="Model weights: list, fetch, verify.", no_args_is_help=True)


@models_app.command("list")
def models_list(json: Json = False) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show known weights: size, licence, and whether they are here."""
    runtime = load_settings(RuntimeSettings)
    store = ModelStore(runtime.models_dir)
    needed = set(weights.needed_models())
    rows = [
        {
            "name": name,
            "kind": model.kind,
            "size_mb": round(model.size_bytes / 1e6),
            "licence": model.licence,
            "here": store.is_ready(name),
            "in_use": name in needed,
        }
        for name, model in CATALOGUE.items()
    ]
    if json:
        print_json(rows)
        return
    console = Console()
    console.print(f"in {runtime.models_dir}", highlight=False, soft_wrap=True)
    for row in rows:
        state = "here" if row["here"] else "not here"
        use = ", in use" if row["in_use"] else ""
        console.print(
            f"{row['name']:<30} {row['kind']:<9} {row['size_mb']:>5} MB  "
            f"{row['licence']}  ({state}{use})",
            highlight=False,
            soft_wrap=True,
        )


@models_app.command("fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names from `models list`.")] = None,
    defaults: Defaults = False,  # noqa: FBT002  (a flag of the command line)
) -> None:
    """Fetch and verify weights; those that are here already cost nothing."""
    wanted = [*(names or []), *(weights.needed_models() if defaults else [])]
    if not wanted:
        msg = "name the weights to fetch (see `antiphon models list`), or use --defaults"
        raise ConfigError(msg)
    weights.fetch(load_settings(RuntimeSettings), wanted, Console(stderr=True))


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Else all that are here.")] = None,
) -> None:
    """Hash every file of the weights again and say which are broken."""
    store = ModelStore(load_settings(RuntimeSettings).models_dir)
    wrong = False
    for name in names or [manifest.name for manifest in store.installed()]:
        problems = store.verify(name)
        wrong = wrong or bool(problems)
        verdict = "; ".join(problems) or "ok"
        remedy = f"  → antiphon models fetch {name}" if problems else ""
        Console().print(f"{name}: {verdict}{remedy}", highlight=False, soft_wrap=True)
    if wrong:
        raise SystemExit(EXIT_WRONG)
