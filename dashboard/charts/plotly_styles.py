"""The style sheets that plotly.js would put into the page, and the page's policy refuses; see static/css/plots.css."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import plotly

# Its own global one; it is left out where an element of this id has the class `no-inline-styles`.
_GLOBAL = "plotly.js-style-global"
# One of a library inside it goes by a digest, which changes with each release.
_DIGEST = re.compile(rb'getElementById\("([0-9a-f]{64})"\)')


@lru_cache(maxsize=1)
def style_ids() -> tuple[str, ...]:
    """Return the ids of the style elements that plotly.js makes unless elements of these ids are there already."""
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return (_GLOBAL, *sorted({found.decode() for found in _DIGEST.findall(script.read_bytes())}))
