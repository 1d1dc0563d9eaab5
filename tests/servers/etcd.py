"""etcd, as its own program: one member, or one of a cluster; and what its tests need besides."""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.base import Server, program


class ServerTLS(NamedTuple):
    """PEM files for the connections of clients.

    Attributes:
        cert: The server's certificate.
        key: Its key.
        ca: The authorities that a client's certificate must come from; ``None``: it needs none.
    """

    cert: Path
    key: Path
    ca: Path | None = None


class EtcdServer(Server):
    """One member, at etcd's defaults; alone, unless `form_cluster` puts it with others.

    Args:
        folder: See `Server`.
        arguments: More of etcd's own, such as ``--quota-backend-bytes=16777216``.
        tls: For the connections of clients; those of members stay plain.
    """

    name = "etcd"
    ports = ("client", "peer", "metrics")
    # Before 3.5 it wants to be asked twice there.
    environment = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}

    def __init__(
        self, folder: Path, *, arguments: Sequence[str] = (), tls: ServerTLS | None = None
    ) -> None:
        super().__init__(folder)
        self._arguments = tuple(arguments)
        self._tls = tls
        self._cluster: Sequence[EtcdServer] = (self,)

    @classmethod
    def requirement(cls) -> str | None:
        """See `Server.requirement`."""
        return None if program("etcd") else "no `etcd` on PATH"

    @staticmethod
    def form_cluster(members: Sequence[EtcdServer]) -> None:
        """Make these, none of which ever ran, one cluster, and start them.

        Raises:
            ServerFailed: One did not start.
        """
        for member in members:
            member._cluster = tuple(members)
        # A member is ready when a majority is there.
        with ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(EtcdServer.start, members))

    def command(self) -> list[str]:
        """See `Server.command`."""
        scheme = "http" if self._tls is None else "https"
        client = f"{scheme}://127.0.0.1:{self.port}"
        own_peer = self._peer_url()
        cluster = ",".join(f"{member._member()}={member._peer_url()}" for member in self._cluster)
        command = [
            str(program("etcd")),
            f"--name={self._member()}",
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={own_peer}",
            f"--initial-advertise-peer-urls={own_peer}",
            f"--initial-cluster={cluster}",
            f"--listen-metrics-urls=http://127.0.0.1:{self.port_of('metrics')}",
        ]
        if self._tls is not None:
            command += [f"--cert-file={self._tls.cert}", f"--key-file={self._tls.key}"]
            if self._tls.ca is not None:
                command += [f"--trusted-ca-file={self._tls.ca}", "--client-cert-auth"]
        return [*command, *self._arguments]

    def _member(self) -> str:
        return f"m{self.port_of('peer')}"

    def _peer_url(self) -> str:
        return f"http://127.0.0.1:{self.port_of('peer')}"

    def pause(self) -> None:
        """See `Server.pause`; returns when the last of its threads stands still."""
        super().pause()
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def ready(self) -> bool:
        """See `Server.ready`. Not by /health, which says no while an alarm is raised."""
        metrics = f"http://127.0.0.1:{self.port_of('metrics')}/metrics"
        with urllib.request.urlopen(metrics, timeout=2) as answer:
            return "etcd_server_has_leader 1\n" in answer.read().decode()

    @property
    def host(self) -> str:
        """``127.0.0.1:port``, for a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """See `Server.url`."""
        return f"etcd://{self.host}/discfg"

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return _version()


@functools.cache
def _version() -> str:
    command = [str(program("etcd")), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"etcd Version: (\S+)", told)
    return found[1] if found else told.strip()


class Raw:
    """A server as its own client library sees it."""

    def __init__(self, host: str) -> None:
        import grpc  # type: ignore[import-untyped] # it brings no types
        from pyetcd import etcdrpc  # type: ignore[import-untyped] # it brings no types

        self.rpc = etcdrpc
        self._channel = grpc.insecure_channel(host, [("grpc.max_receive_message_length", -1)])
        self.kv = etcdrpc.KVStub(self._channel)
        self.maintenance = etcdrpc.MaintenanceStub(self._channel)
        self.auth = etcdrpc.AuthStub(self._channel)

    def keys(self, prefix: str) -> dict[str, Any]:
        """Everything whose key begins so, by key: what the API calls a `KeyValue`."""
        end = prefix.encode()[:-1] + bytes([prefix.encode()[-1] + 1])
        request = self.rpc.RangeRequest(key=prefix.encode(), range_end=end)
        return {kv.key.decode(): kv for kv in self.kv.Range(request).kvs}

    def put(self, key: str, value: bytes) -> int:
        """Write a key; returns the revision."""
        request = self.rpc.PutRequest(key=key.encode(), value=value)
        return int(self.kv.Put(request).header.revision)

    def compact(self) -> int:
        """Forget all revisions but the last, which is returned."""
        revision = int(self.kv.Range(self.rpc.RangeRequest(key=b"x")).header.revision)
        self.kv.Compact(self.rpc.CompactionRequest(revision=revision, physical=True))
        return revision

    def make_room(self) -> None:
        """What an operator does about a full store."""
        self.compact()
        self.maintenance.Defragment(self.rpc.DefragmentRequest())
        for alarm in self.maintenance.Alarm(self.rpc.AlarmRequest()).alarms:
            self.maintenance.Alarm(
                self.rpc.AlarmRequest(
                    action=self.rpc.AlarmRequest.DEACTIVATE,
                    memberID=alarm.memberID,
                    alarm=alarm.alarm,
                )
            )

    def demand_credentials(self, *, user: str, password: str, prefix: str) -> None:
        """Turn authentication on, with a user who may read and write below the prefix."""
        rpc, auth = self.rpc, self.auth
        end = prefix.encode()[:-1] + b"0"
        auth.RoleAdd(rpc.AuthRoleAddRequest(name="discfg"))
        permission = {"permType": 2, "key": prefix.encode(), "range_end": end}
        auth.RoleGrantPermission(rpc.AuthRoleGrantPermissionRequest(name="discfg", perm=permission))
        auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="of-the-root"))
        auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        auth.UserAdd(rpc.AuthUserAddRequest(name=user, password=password))
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=user, role="discfg"))
        auth.AuthEnable(rpc.AuthEnableRequest())

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
