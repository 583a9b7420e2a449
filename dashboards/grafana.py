"""Owns the shapes of classic Grafana dashboards: variables, links, annotations and panels, laid out
from left to right. Refuses to know a metric: that is build.py's."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
TAG = "kinescope"

# An alert is an annotation twice: as Prometheus evaluates our rules, and as Kinescope's own engine
# does, for those who load no rules.
ALERTS = [
    ("Alerts of Prometheus", "red", 'ALERTS{alertname=~"Kines.+",alertstate="firing"}',
     "{{alertname}}", "{{stream}} {{consumer}} {{severity}}"),
    ("Alerts of Kinescope", "orange",
     'sum by (severity) (kinescope_alerts{job=~"$job",state="firing"}) > 0',
     "Kinescope: alerts firing", "{{severity}}"),
]


def variable(name, label, query, **given):
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "hide": 0,
        "query": {"qryType": 1, "query": query, "refId": name}, "definition": query,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, **given,
    }


def data_source():
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "hide": 0, "refresh": 1, "multi": False, "includeAll": False, "current": {}}


def board(uid, title, description, variables, panels):
    annotations = [{"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color,
                    "expr": expr, "titleFormat": heading, "textFormat": text, "step": "30s",
                    "useValueForTime": False}
                   for name, color, expr, heading, text in ALERTS]
    return {
        "uid": uid, "title": title, "description": description, "tags": [TAG, "kinesis"],
        "schemaVersion": 39, "editable": False, "graphTooltip": 1, "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"}, "refresh": "30s",
        "links": [{"type": "dashboards", "title": "Kinescope", "tags": [TAG], "asDropdown": True,
                   "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
                   "tooltip": "The other Kinescope dashboards, with the same choice", "url": ""}],
        "annotations": {"list": annotations},
        "templating": {"list": [data_source(), *variables]},
        "panels": laid_out(panels),
    }


def laid_out(panels):
    """Places panels in rows, in the order given; a row heading begins a new row."""
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        width, height = panel.pop("size")
        if x + width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        panel |= {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
        x, tallest = x + width, max(tallest, height)
    return panels


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "size": (WIDTH, 1)}


def _targets(queries, **given):
    return [{"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expr, "legendFormat": legend, **given}
            for at, (expr, legend) in enumerate(queries)]


def _panel(kind, title, description, unit, size, targets, options, custom=None, **defaults):
    return {
        "type": kind, "title": title, "description": description, "datasource": SOURCE, "size": size,
        "targets": targets, "options": options,
        "fieldConfig": {"defaults": {"unit": unit, "custom": custom or {}, **defaults}, "overrides": []},
    }


def thresholds(*steps):
    """(value, color) pairs; the first value is None."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def lines(title, description, unit, *queries, width=12, exemplars=False, stacked=False, links=(), **defaults):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 8, "showPoints": "auto",
              "spanNulls": False, "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    given = {"range": True, **({"exemplar": True} if exemplars else {})}
    if links:
        defaults["links"] = list(links)
    return _panel("timeseries", title, description, unit, (width, 8), _targets(queries, **given), options,
                  custom, **defaults)


def stat(title, description, unit, expr, legend="", width=4, shows="auto", **defaults):
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
               "colorMode": "value", "graphMode": "none", "textMode": shows, "justifyMode": "auto",
               "orientation": "auto"}
    defaults = {"noValue": "no data", **defaults}
    # Instant: of a range the last value that there was would be shown, also when there is none now.
    return _panel("stat", title, description, unit, (width, 4), _targets([(expr, legend)], instant=True),
                  options, **defaults)


def heatmap(title, description, unit, expr, width=12):
    options = {"calculate": False, "yAxis": {"unit": unit}, "cellGap": 1,
               "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
               "exemplars": {"color": "rgba(255,0,255,0.7)"}, "legend": {"show": True},
               "tooltip": {"mode": "single", "yHistogram": True}}
    given = {"range": True, "format": "heatmap", "exemplar": True}
    return _panel("heatmap", title, description, unit, (width, 8), _targets([(expr, "{{le}}")], **given), options)


def timeline(title, description, expr, legend, mapping, width=24):
    """Which of the states in `mapping` (number: (text, color)) was in force when."""
    options = {"mergeValues": True, "showValue": "auto", "rowHeight": 0.9, "alignValue": "left",
               "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
               "tooltip": {"mode": "single", "sort": "none"}}
    mappings = [{"type": "value", "options": {
        str(number): {"text": text, "color": color, "index": number} for number, (text, color) in mapping.items()}}]
    return _panel("state-timeline", title, description, "none", (width, 8),
                  _targets([(expr, legend)], range=True), options,
                  {"fillOpacity": 80, "lineWidth": 0}, mappings=mappings)


def table(title, description, unit, queries, rename, width=12, links=(), units=None):
    """One row for each set of labels; `rename` says which columns stay, in order, and their names.
    The queries' values are the columns `Value #A`, `Value #B`, …; `units` are by the new names."""
    targets = _targets([(expr, "") for expr in queries], instant=True, format="table")
    panel = _panel("table", title, description, unit, (width, 8), targets,
                   {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
                   {"align": "auto", "filterable": True}, **({"links": list(links)} if links else {}))
    panel["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": of}]}
        for name, of in (units or {}).items()]
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": list(rename)}}},
        {"id": "organize", "options": {"indexByName": {name: at for at, name in enumerate(rename)},
                                       "renameByName": rename}},
    ]
    return panel


def row_link(title, uid, *labels):
    """From a table's row to another board, with the row's labels chosen there."""
    return _link(title, uid, (f"&var-{label}=${{__data.fields.{label}}}" for label in labels))


def series_link(title, uid, *labels):
    """From a series to another board, with its labels chosen there."""
    return _link(title, uid, (f"&var-{label}=${{__field.labels.{label}}}" for label in labels))


def _link(title, uid, chosen):
    return {"title": title, "targetBlank": False,
            "url": f"/d/{uid}?${{datasource:queryparam}}&${{__url_time_range}}{''.join(chosen)}"}
