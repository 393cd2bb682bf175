# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis as ordinary processes in a folder of their own, on this machine alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import redis
from parts import Part, end_of, wait_for
from whole_airflow import free_ports

SECONDS_TO_START = 60.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


class Servers:
    """A database and a message broker, empty at first."""

    def __init__(self) -> None:
        self.database_port, self.broker_port = free_ports(2)
        self.database = f"postgresql+psycopg2://airflow@127.0.0.1:{self.database_port}/postgres"
        self.broker = f"redis://127.0.0.1:{self.broker_port}/0"
        self._user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._home = Path(tempfile.mkdtemp(prefix="cluster-servers-"))
        if self._user:
            shutil.chown(self._home, self._user)
        self._postgres = Part("postgres", self._postgres_command(), ENVIRONMENT, self._home, self._user)
        self._redis = Part("redis", self._redis_command(), ENVIRONMENT, self._home, self._user)

    def start(self) -> None:
        """Set up the database, and start both."""
        subprocess.run(
            [_postgres("initdb"), "--username=airflow", "--auth=trust", "--no-sync", "--pgdata=database"],
            env=ENVIRONMENT,
            cwd=self._home,
            user=self._user,
            check=True,
            capture_output=True,
        )
        self._postgres.start()
        self._redis.start()
        wait_for("the servers' start", self._are_up, SECONDS_TO_START, self.evidence)

    def stop(self) -> None:
        """End both, and remove their folder."""
        self._redis.kill()
        # PostgreSQL ends at once on SIGINT and frees its shared memory, which SIGKILL would leave.
        self._postgres.stop(number=signal.SIGINT)
        shutil.rmtree(self._home, ignore_errors=True)

    def evidence(self) -> str:
        """Return the ends of their logs."""
        return "\n".join(end_of(part.log, 25) for part in (self._postgres, self._redis))

    def _are_up(self) -> bool:
        for part in (self._postgres, self._redis):
            assert part.is_running, f"{part.name} ended.\n{self.evidence()}"
        try:
            self.connect().close()
            redis.Redis(host="127.0.0.1", port=self.broker_port).ping()
        except (psycopg2.OperationalError, redis.ConnectionError):
            return False
        return True

    def connect(self) -> psycopg2.extensions.connection:
        """Open a connection to the database; each statement is a transaction of its own."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.database_port, user="airflow", dbname="postgres"
        )
        connection.autocommit = True
        return connection

    def _postgres_command(self) -> tuple[str, ...]:
        settings = {
            "fsync": "off",  # the data need not survive a crash of the machine
            "listen_addresses": "127.0.0.1",
            "max_connections": "300",
            "port": str(self.database_port),
            "unix_socket_directories": str(self._home),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return (_postgres("postgres"), "-D", "database", *options)

    def _redis_command(self) -> tuple[str, ...]:
        return ("redis-server", "--bind", "127.0.0.1", "--port", str(self.broker_port), "--save", "")


def _postgres(program: str) -> str:
    """Return the path of a program of PostgreSQL; Debian keeps these outside the PATH, by version."""
    debians = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: path.parts[4])
    found = shutil.which(program) or (str(debians[-1]) if debians else None)
    assert found, f"PostgreSQL's {program} is not here; on Debian: apt-get install postgresql"
    return found
