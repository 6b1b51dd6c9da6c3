"""The tools that come with Antiphon, a module per subject; `antiphon_tools.offering` lists them."""
