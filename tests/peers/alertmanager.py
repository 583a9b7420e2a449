"""Owns a real Alertmanager that groups by rule and tells one webhook at once."""

import json
import pathlib
import shutil
import urllib.request

from harness import PEERS, Program, free_port, listens, missing


def tool():
    own = PEERS / "debian/usr/bin/prometheus-alertmanager"
    found = own if own.exists() else shutil.which("prometheus-alertmanager")
    return found or missing("alertmanager")


class Alertmanager(Program):
    def __init__(self, folder, webhook_url, port=None):
        tool_path = pathlib.Path(tool())
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        usr = tool_path.parents[1]
        if not (folder / "usr").exists():
            (folder / "usr").symlink_to(usr)  # where an unpacked one looks for its templates
        config = folder / "alertmanager.yml"
        config.write_text(json.dumps({
            "route": {"receiver": "hook", "group_by": ["alertname"], "group_wait": "1s",
                      "group_interval": "1s", "repeat_interval": "1h"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook_url, "send_resolved": True}]}],
        }))
        super().__init__("alertmanager", [
            tool_path, f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn",
        ], folder)
        self.wait_until(lambda: listens(self.port) and self.get("/-/ready"), "Alertmanager")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read()

    def alerts(self):
        return json.loads(self.get("/api/v2/alerts"))
