"""A Kafka broker of one's own: one node on loopback ports, from Maven's jars.

    python scripts/kafka.py fetch                    # the jars, once; needs mvn
    python scripts/kafka.py run --folder build/kafka # until Ctrl-C; needs Java 17
    python scripts/kafka.py start --folder build/kafka --topics clicks:4 examples:4
    python scripts/kafka.py stop --folder build/kafka

For tests, demos and benchmarks: nothing is replicated, and anyone on this machine may
connect. The address is printed, and lies in FOLDER/servers. Data in FOLDER outlives the
broker. `start` leaves the broker running in the background; the class `Broker` ends it
with the process that made it, however that ends.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

__all__ = ["KAFKA_VERSION", "Broker", "jars", "make_topic", "reason_to_skip"]

KAFKA_VERSION = "4.1.1"
_JAVA = 17
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>pairstream</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

# Messages are stamped with event times of the past and of simulated futures, so a
# broker that goes by its clock would refuse or remove them.
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
controller.quorum.election.timeout.ms=500
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=1500
"""


def reason_to_skip() -> str | None:
    """Returns why no broker can be started on this machine; None if one can."""
    if shutil.which("java") is None:
        return f"no broker without Java {_JAVA}: java is not on the PATH"
    shown = subprocess.run(["java", "-version"], capture_output=True, text=True)  # noqa: S607
    found = re.search(r'version "(\d+)', shown.stderr)
    if found is None or int(found[1]) < _JAVA:
        return (
            f"no broker without Java {_JAVA}: java is {shown.stderr.splitlines()[:1]}"
        )
    if not _libraries().is_dir() and shutil.which("mvn") is None:
        return (
            f"{_libraries()} has no jars of Kafka, and mvn, which fetches them, is not"
            " on the PATH"
        )
    return None


def jars() -> Path:
    """Returns the folder of Kafka's jars; fetches them the first time.

    Raises:
        RuntimeError: if Maven cannot fetch them.
    """
    libraries = _libraries()
    if libraries.is_dir():
        return libraries
    libraries.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libraries.parent) as temporary:
        pom = Path(temporary, "pom.xml")
        pom.write_text(_POM.format(version=KAFKA_VERSION), encoding="utf-8")
        fetched = Path(temporary, "libs")
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={fetched}"], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(
                f"Maven cannot fetch Kafka {KAFKA_VERSION}, is its repository within"
                f" reach?\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        try:
            fetched.rename(libraries)
        except OSError:
            if not libraries.is_dir():  # else another process was faster
                raise
    return libraries


def make_topic(
    servers: str, topic: str, partitions: int, settings: dict[str, str] | None = None
) -> None:
    """Makes a topic, and waits until the broker knows it."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 3})
    new = NewTopic(topic, partitions, 1, config=settings or {})
    admin.create_topics([new])[topic].result(30)
    ends = time.monotonic() + 30
    while topic not in admin.list_topics(timeout=10).topics:
        if time.monotonic() > ends:
            raise RuntimeError(f"the topic {topic} was made and is not listed")
        time.sleep(0.05)


class Broker:
    """One broker, which is also its own controller.

    As a context manager it starts, and stops at the end.

    Args:
        folder: of its data, settings and log; what it holds already is served again.
        java_options: of the virtual machine. The defaults start fast and stay small; a
            benchmark wants others.
    """

    def __init__(
        self,
        folder: str | Path,
        java_options: tuple[str, ...] = (
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ),
    ) -> None:
        self.folder = Path(folder).resolve()
        self._java_options = java_options
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """Where clients connect: `127.0.0.1:port`, the same after a restart."""
        return (self.folder / "servers").read_text(encoding="utf-8").strip()

    @property
    def pid(self) -> int:
        """Of the virtual machine."""
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, *, guarded: bool = True) -> None:
        """Starts the broker and waits until it answers.

        Args:
            guarded: end it when this process ends, even by `kill -9`.

        Raises:
            RuntimeError: if it does not answer (its log is quoted), or one runs in the
                folder already.
        """
        if _running(self.folder) is not None:
            raise RuntimeError(f"a broker runs in {self.folder} already: stop it first")
        settings = self._prepare()
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if guarded:
            # Its input ends when this process does.
            self._guard = subprocess.Popen(
                ["sh", "-c", f"read -r _; kill -9 {self.pid}"],  # noqa: S607
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(f"{self.pid}\n", encoding="utf-8")
        self._wait()

    def stop(self) -> None:
        """Stops the broker in good order; nothing happens if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the broker at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops the broker, and starts it on the same port with the same data."""
        self.stop()
        self.start()

    def cpu_seconds(self) -> float:
        """Returns the processor time that the broker has used since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _java(self) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", *self._java_options, quiet, "-cp", f"{jars()}/*"]

    def _prepare(self) -> Path:
        """Returns the settings; writes them, and formats the data, the first time."""
        settings = self.folder / "server.properties"
        if (self.folder / "servers").exists():
            return settings
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)  # of an attempt that was cut short
        data.mkdir(parents=True)
        port, controller = _free_ports(2)
        settings.write_text(
            _SETTINGS.format(port=port, controller=controller, data=data),
            encoding="utf-8",
        )
        formatted = subprocess.run(
            [
                *self._java(),
                *("kafka.tools.StorageTool", "format", "--standalone"),
                *("-t", "cGFpcnN0cmVhbS1icm9rZQ", "-c", str(settings)),
            ],
            capture_output=True,
            text=True,
        )
        if formatted.returncode:
            raise RuntimeError(f"cannot format {data}: {formatted.stderr[-2000:]}")
        (self.folder / "servers").write_text(f"127.0.0.1:{port}\n", encoding="utf-8")
        return settings

    def _wait(self) -> None:
        client = AdminClient(
            {
                "bootstrap.servers": self.servers,
                "log_level": 0,
                "socket.timeout.ms": 1000,
            }
        )
        ends = time.monotonic() + _START_SECONDS
        while self._process is not None and self._process.poll() is None:
            try:
                if client.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                pass
            if time.monotonic() > ends:
                break
        log = (self.folder / "broker.log").read_text(errors="replace")[-3000:]
        self.kill()
        raise RuntimeError(f"the broker in {self.folder} does not answer:\n{log}")

    def _end(self, number: signal.Signals) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if guard is not None:
            guard.kill()
            guard.wait()
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        (self.folder / "pid").unlink(missing_ok=True)


def _libraries() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "pairstream" / "kafka" / KAFKA_VERSION


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _running(folder: Path) -> int | None:
    """Returns the process id of the broker that runs in a folder, if one does."""
    try:
        pid = int((folder / "pid").read_text(encoding="utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(folder.resolve()).encode() in command else None


def _stop_in(folder: Path) -> None:
    pid = _running(folder)
    if pid is None:
        sys.exit(f"no broker runs in {folder}")
    os.kill(pid, signal.SIGTERM)
    ends = time.monotonic() + _STOP_SECONDS
    while _running(folder) is not None:
        if time.monotonic() > ends:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    (folder / "pid").unlink(missing_ok=True)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["fetch", "run", "start", "stop"])
    parser.add_argument("--folder", type=Path, default=Path("build/kafka"))
    parser.add_argument(
        "--topics", nargs="*", default=[], metavar="NAME:PARTITIONS", help="to make"
    )
    arguments = parser.parse_args()
    if arguments.command == "stop":
        _stop_in(arguments.folder)
        return
    reason = reason_to_skip()
    if reason is not None:
        sys.exit(reason)
    if arguments.command == "fetch":
        print(jars())
        return
    broker = Broker(arguments.folder)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    broker.start(guarded=arguments.command == "run")
    for topic in arguments.topics:
        name, _, partitions = topic.partition(":")
        make_topic(broker.servers, name, int(partitions or 1))
    print(broker.servers, flush=True)
    if arguments.command == "run":
        try:
            signal.sigwait(ends)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
