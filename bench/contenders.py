"""Who takes part: how each is started in front of the fake provider, and how it is asked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from attrs import field, frozen

from bench.processes import Launch
from bench.tools import Certificate, Route

ROOT = Path(__file__).parent.parent
# More than there are streams, and no limit of the proxy comes in between.
MANY = "20000"
LITELLM_KEY = "sk-bench-4f0d9c6a1e7b42d5a8c3"


@frozen
class Setting:
    """Where a contender is to listen, and what is behind it."""

    port: int
    upstream_port: int
    certificate: Certificate | None

    @property
    def upstream(self) -> str:
        """The provider's base URL."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.upstream_port}/v1"


def present() -> str:
    """Nothing is missing."""
    return ""


@frozen
class Contender:
    """One contender. `launch` is None for the provider itself; `missing`: why it cannot take part, "" if it can.

    `ours`: a failure of it is a failure of the bench.
    """

    name: str
    launch: Callable[[Setting], Launch] | None
    route: Route = Route()
    tls: bool = False
    ours: bool = True
    start_s: float = 60.0
    missing: Callable[[], str] = field(default=present)


OPENAI = Route()
OLLAMA = Route(path="/api/chat", end='"done":true', whole_end='"done":true')

NGINX_CONF = """
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream provider {
        server 127.0.0.1:%(upstream_port)d;
        keepalive 1024;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        keepalive_requests 100000000;
        location / {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
    }
}
"""


def nginx(setting: Setting) -> Launch:
    """nginx as a plain reverse proxy, one worker."""
    conf = NGINX_CONF % {"port": setting.port, "upstream_port": setting.upstream_port}
    command = ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;"]
    return Launch(command, files={"nginx.conf": conf})


def bare(setting: Setting) -> Launch:
    """Our server and client without the house."""
    command = [sys.executable, "-m", "bench.bare", str(setting.port), str(setting.upstream_port)]
    return Launch(command, {"PYTHONPATH": str(ROOT)})


def proxy(*arguments: str) -> Callable[[Setting], Launch]:
    """The proxy as it comes, with the whole pipeline."""

    def launch(setting: Setting) -> Launch:
        environment = {
            "PORT": str(setting.port),
            "ENVIRONMENT": "production",
            "LOG_LEVEL": "warning",
            "DATA_DIR": "data",
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": setting.upstream,
            "OPENAI_MAX_CONCURRENT_REQUESTS": MANY,
            "MAX_CONCURRENT_REQUESTS": MANY,
            "MAX_QUEUE_SIZE": MANY,
        }
        if setting.certificate:
            environment["SSL_CERT_FILE"] = str(setting.certificate.cert)
        command = [
            sys.executable,
            str(ROOT / "app.py"),
            "serve",
            "--config",
            str(ROOT / "proxy.toml"),
            *arguments,
        ]
        return Launch(command, environment)

    return launch


def portkey(setting: Setting) -> Launch:
    """Portkey's gateway, one process; which provider it asks is said in each request."""
    script = "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", str(Path(os.environ["PORTKEY_DIR"], script)), f"--port={setting.port}", "--headless"]
    return Launch(command, {"NODE_ENV": "production"})


LITELLM_CONFIG = """
model_list:
  - model_name: "*"
    litellm_params:
      model: "openai/*"
      api_base: "%(upstream)s"
      api_key: "bench"
general_settings:
  master_key: "%(key)s"
"""


def litellm(setting: Setting) -> Launch:
    """LiteLLM's proxy, one worker, without a database."""
    config = LITELLM_CONFIG % {"upstream": setting.upstream, "key": LITELLM_KEY}
    command = [os.environ["LITELLM_BIN"], "--config", "config.yaml", "--num_workers", "1"]
    listening = ["--host", "127.0.0.1", "--port", str(setting.port)]
    environment = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "AIOHTTP_CONNECTOR_LIMIT": "0",
        "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "0",
    }
    return Launch([*command, *listening], environment, {"config.yaml": config})


def no_nginx() -> str:
    """Whether nginx is there."""
    return "" if shutil.which("nginx") else "nginx is not on PATH"


def no_openssl() -> str:
    """Whether a certificate can be made."""
    return "" if shutil.which("openssl") else "openssl is not on PATH, so there is no certificate"


@cache
def no_workers() -> str:
    """Whether this proxy can have several workers."""
    command = [sys.executable, str(ROOT / "app.py"), "serve", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "" if "--workers" in told else "`python app.py serve` does not know --workers"


def no_portkey() -> str:
    """Whether Portkey is where PORTKEY_DIR says, and can be run."""
    folder = os.environ.get("PORTKEY_DIR", "")
    if not folder:
        return "PORTKEY_DIR is not set"
    if not Path(folder, "node_modules/@portkey-ai/gateway").is_dir():
        return "PORTKEY_DIR does not hold @portkey-ai/gateway"
    return "" if shutil.which("node") else "node is not on PATH"


def no_litellm() -> str:
    """Whether LiteLLM is where LITELLM_BIN says."""
    command = os.environ.get("LITELLM_BIN", "")
    if not command:
        return "LITELLM_BIN is not set"
    return "" if shutil.which(command) else "LITELLM_BIN is not a program"


DIRECT, BARE = "direct", "bare"

USUAL: Sequence[Contender] = (
    Contender(DIRECT, None),
    Contender("nginx", nginx, missing=no_nginx),
    Contender(BARE, bare),
    Contender("proxy verbatim", proxy(), OPENAI),
    Contender("proxy translated", proxy(), OLLAMA),
    Contender("proxy verbatim TLS", proxy(), OPENAI, tls=True, missing=no_openssl),
    Contender("proxy translated TLS", proxy(), OLLAMA, tls=True, missing=no_openssl),
    Contender("proxy verbatim 2 workers", proxy("--workers", "2"), OPENAI, missing=no_workers),
    Contender("proxy translated 2 workers", proxy("--workers", "2"), OLLAMA, missing=no_workers),
)


def portkey_route() -> Route:
    """Portkey is told in headers whom to ask; `{upstream}` becomes the provider's base URL."""
    return Route(headers={"x-portkey-provider": "openai", "x-portkey-custom-host": "{upstream}"})


PEERS: Sequence[Contender] = (
    Contender("Portkey", portkey, portkey_route(), ours=False, missing=no_portkey),
    Contender(
        "LiteLLM",
        litellm,
        Route(headers={"Authorization": f"Bearer {LITELLM_KEY}"}),
        ours=False,
        start_s=120.0,
        missing=no_litellm,
    ),
)


def route_to(contender: Contender, setting: Setting) -> Route:
    """The contender's route, with what depends on where the provider is."""
    filled: Mapping[str, str] = {
        name: value.replace("{upstream}", setting.upstream) for name, value in contender.route.headers.items()
    }
    return Route(contender.route.path, filled, contender.route.end, contender.route.whole_end)
