"""The page at /settings/audit: who did what, newest first."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts import trail
from dashboard.accounts.rights import rights_for

# Icon and severity of an outcome, and its word.
_STATES = {
    "done": ("ok", "idle", "Done"),
    "refused": ("stopped", "warning", "Refused"),
    "failed": ("critical", "critical", "Failed"),
    "running": ("running", "notice", "Under way"),
    "doubt": ("doubt", "warning", "In doubt"),
}


@never_cache
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """List the entries that the person may see; `who`, `broker`, `action`, `outcome` filter, `before`/`after` page."""
    rights = rights_for(request)
    wanted = trail.Filter.from_query(request.GET.dict())
    shown = trail.page(rights, wanted)
    query = request.GET.copy()
    for key in ("before", "after"):
        query.pop(key, None)
    rows = []
    for entry in shown.entries:
        icon, level, word = _STATES[trail.state_of(entry)]
        rows.append(
            {
                "entry": entry,
                "icon": icon,
                "level": level,
                "word": word,
                "intent": json.dumps(entry.intent, ensure_ascii=False, indent=1) if entry.intent else "",
            }
        )
    return render(
        request,
        "pages/audit.html",
        {
            "rows": rows,
            "shown": shown,
            "wanted": wanted,
            "choices": trail.choices(rights),
            "outcomes": trail.OUTCOMES,
            "query": query.urlencode(),
            "sees_all": rights.administers_all,
        },
    )


urlpatterns: list[URLPattern] = [path("settings/audit", audit, name="audit")]
