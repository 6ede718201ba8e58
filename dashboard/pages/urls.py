"""Every page's address; each page module names its own."""

from __future__ import annotations

from dashboard.pages import (
    audit,
    broker,
    broker_settings,
    chart_notes,
    charts,
    collector,
    components,
    find,
    fleet,
    probes,
    queue,
    queues,
    retention,
    users,
)

app_name = "pages"
urlpatterns = [
    *fleet.urlpatterns,
    *broker.urlpatterns,
    *queues.urlpatterns,
    *queue.urlpatterns,
    *find.urlpatterns,
    *charts.urlpatterns,
    *chart_notes.urlpatterns,
    *broker_settings.urlpatterns,
    *retention.urlpatterns,
    *collector.urlpatterns,
    *users.urlpatterns,
    *audit.urlpatterns,
    *components.urlpatterns,
    *probes.urlpatterns,
]
