"""Owns a real Prometheus that scrapes one target every half second, and its promtool."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request

from harness import ENV, PEERS, Program, free_port, missing


def tool(name):
    own = PEERS / "debian/usr/bin" / name
    found = own if own.exists() else shutil.which(name)
    return found or missing("prometheus")


class Prometheus(Program):
    def __init__(self, folder, target_port, extra=None, flags=()):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [{
                "job_name": "kinescope",
                "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}],
            }],
            **(extra or {}),
        }))
        super().__init__("prometheus", [
            tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *flags,
        ], folder)
        self.wait_until(lambda: self._get("/-/ready"), "Prometheus")

    def _get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read()

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        result = json.loads(self._get(path))["data"]["result"]
        return [(found["metric"], float(found["value"][1])) for found in result]

    def samples(self, selector):
        """[(labels, [(time, value)])] of a selector with a range, up to now."""
        query = urllib.parse.urlencode({"query": selector})
        result = json.loads(self._get(f"/api/v1/query?{query}"))["data"]["result"]
        return [(found["metric"], found["values"]) for found in result]

    def exemplars(self, selector, start, end):
        """The series of a selector that have exemplars, each with those of the time."""
        query = urllib.parse.urlencode({"query": selector, "start": start, "end": end})
        return json.loads(self._get(f"/api/v1/query_exemplars?{query}"))["data"]

    def promtool(self, *arguments, stdin=""):
        """What promtool said; an assertion if it was not content."""
        done = subprocess.run([tool("promtool"), *arguments], input=stdin, text=True, env=ENV,
                              capture_output=True, timeout=30)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said
