"""``etcd://host:2379/prefix``: a store in etcd, one member or a cluster, version 3.4 or later.

An acknowledged swap is in the logs of a majority of the members, each synced to its disk. Every
read goes through the leader, so that it sees each write that was acknowledged before it.

All keys lie under the prefix, as ``/prefix/~r/…`` and the like: stores with different prefixes
share a cluster and see nothing of each other, also where one prefix begins like another or lies
within it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discfg_core.engine import StorageEngine, engine_factory
from discfg_etcd._version import __version__
from discfg_etcd.profile import PROFILE

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

__all__ = ["__version__", "open_engine"]


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``etcd://[user[:password]@]host[:port][,…]/prefix``.

    Nothing is sent yet. What the URL does not say of user, password and TLS files is taken from
    the variables that etcdctl knows, ``ETCDCTL_USER`` and so on; see the README.

    Raises:
        InvalidURL: It has no host or no prefix, or a prefix that cannot be one.
        InvalidOption: An option is unknown, or does not go with the others.
        FileUnreadable: A file of the TLS options cannot be read.
    """
    # Here, so that the list of engines does not wait for gRPC.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - see above
    from discfg_etcd.substrate import EtcdSubstrate  # noqa: PLC0415 - see above

    return VersionedEngine(EtcdSubstrate(url))
