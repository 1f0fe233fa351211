"""
Every setting, declared once (those of pipelines in `entry`): its type, default, unit, an example and what it means. The loader, the
JSON Schema for editors and the reference are made from these declarations.

`Document` and what it holds is the configuration as a person writes it. `Settings`, `Pipeline` and `BoundStep` are what the
program sees: complete and resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from wharfinger.config import order
from wharfinger.config.entry import PipelineEntry, Retry, Route
from wharfinger.config.field import Globs, Name, Paths, Texts, in_order, option
from wharfinger.config.place import CHECKPOINTS, NAMES
from wharfinger.names import path_fault, shown

By = Annotated[str, AfterValidator(order.checked)]


def _free(bucket: str) -> str:
    if bucket == CHECKPOINTS:
        raise ValueError(f"the bucket '{CHECKPOINTS}' is wharfinger's own: what lies there is removed")
    return bucket


@dataclass(frozen=True, slots=True)
class Sftp:
    """The SFTP listener."""

    host: Annotated[str, option("Address to listen on; loopback unless you open it.", example="192.0.2.10")] = (
        "127.0.0.1"
    )
    port: Annotated[int, option("TCP port; 0 takes a free one.", example=2222, ge=0, le=65535)] = 2222
    host_keys: Annotated[
        Paths,
        option(
            "Private host keys; one is made in the data directory where none is given.",
            example="/etc/wharf/ssh_host_key",
        ),
    ] = ()
    passwords: Annotated[bool, option("Whether users with a password may use it; keys always work.")] = True
    login_s: Annotated[float, option("Time a client has to sign in.", unit="s", gt=0)] = 30.0
    idle_s: Annotated[float, option("A connection that says nothing for so long is closed.", unit="s", gt=0)] = 600.0
    partial_days: Annotated[float, option("How long an unfinished upload can be resumed.", unit="days", gt=0)] = 7.0


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP listener: uploads by signed URL."""

    host: Annotated[str, option("Address to listen on; loopback unless you open it.", example="192.0.2.10")] = (
        "127.0.0.1"
    )
    port: Annotated[int, option("TCP port; 0 takes a free one.", example=8443, ge=0, le=65535)] = 8022
    base: Annotated[
        str, option("How clients reach it, for the URLs that are signed.", example="https://files.example.com")
    ] = ""
    certificate: Annotated[
        Path | None, option("Its TLS certificate with the chain, in PEM; without it, plain HTTP for a proxy.")
    ] = None
    key: Annotated[Path | None, option("The certificate's private key, in PEM, without a passphrase.")] = None
    secret: Annotated[
        Path | None,
        option("What URLs are signed with, at least 32 bytes; made in the data directory where none is given."),
    ] = None
    max_connections: Annotated[int, option("Clients that may be connected at one time.", ge=1, le=65536)] = 256
    header_s: Annotated[float, option("Time until a request has come with its headers.", unit="s", gt=0)] = 10.0
    idle_s: Annotated[float, option("A body of which nothing comes for so long is given up.", unit="s", gt=0)] = 30.0

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("'certificate' and 'key' go together: give both or neither")


@dataclass(frozen=True, slots=True)
class Listeners:
    """How files come in."""

    sftp: Annotated[Sftp | None, option("The SFTP server; null for none.")] = field(default_factory=Sftp)
    http: Annotated[Http | None, option("The HTTP server; null for none.")] = None


@dataclass(frozen=True, slots=True)
class Log:
    """What the processes say on stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        option("The least that is told; at `info` every file that is done with has its line.", example="info"),
    ] = "warning"
    format: Annotated[
        Literal["text", "json"], option("Lines for people, or one JSON object a line.", example="json")
    ] = "text"


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures for Prometheus, at http://HOST:PORT/metrics of `wharf serve`. Nobody has to sign in: keep it in your own network."""

    host: Annotated[str, option("Address to listen on; loopback unless you open it.", example="192.0.2.10")] = (
        "127.0.0.1"
    )
    port: Annotated[int, option("TCP port; 0 takes a free one.", example=9464, ge=0, le=65535)] = 9464


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that run pipelines."""

    count: Annotated[int, option("How many processes; 0: others do the work.", example=4, ge=0, le=256)] = 2
    lease_s: Annotated[
        float, option("A worker that shows no life for so long loses its files to another.", unit="s", gt=0)
    ] = 30.0
    batch: Annotated[int, option("Files claimed at once.", ge=1, le=100)] = 64
    checkpoint_s: Annotated[
        float, option("Time between two signed checkpoints over the histories of files.", unit="s", gt=0)
    ] = 60.0


@dataclass(frozen=True, slots=True)
class Customer:
    """An owner of files."""

    weight: Annotated[float, option("Share of the workers beside other customers.", gt=0, le=1000)] = 1.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where deliveries become visible: a bucket of the store, or a directory of this machine (exactly one of them)."""

    bucket: Annotated[
        str, option("A bucket of the store.", example="delivered", pattern=NAMES), AfterValidator(_free)
    ] = ""
    directory: Annotated[Path | None, option("A directory with real names.", example="/srv/outgoing")] = None
    prefix: Annotated[str, option("Put before every key.", example="lake/raw/")] = ""
    keeps: Annotated[
        bool | None,
        option(
            "Whether what is delivered stays there, so that `wharf reconcile --delivered` tells of what is gone, or was put there by "
            "somebody else; by default of a bucket alone, since a directory's recipients may take their files away."
        ),
    ] = None

    def __post_init__(self) -> None:
        if bool(self.bucket) == bool(self.directory):
            raise ValueError(
                "a destination has either a 'bucket' or a 'directory'" + (", not both" if self.bucket else "")
            )
        if self.prefix and (why := path_fault(f"{self.prefix}name")):
            raise ValueError(f"the prefix {shown(self.prefix)} {why}")


@dataclass(frozen=True, slots=True)
class Source:
    """
    A folder of this machine, or a bucket of S3 (exactly one of them), whose files are taken into custody as if their customer had
    uploaded them. A bucket's objects are whole when they are there, and stay.
    """

    customer: Annotated[Name, option("Whose files they are.", example="acme")]
    directory: Annotated[
        Path | None, option("A folder; what lies below it belongs to it.", example="/srv/drop/acme")
    ] = None
    bucket: Annotated[
        str,
        option(
            "A bucket, or a prefix of one: s3://bucket/prefix?region=...&endpoint=https://host:port.",
            example="s3://acme-outgoing/daily?region=eu-west-1",
        ),
    ] = ""
    queue: Annotated[
        str,
        option(
            "URL of the SQS queue that gets the bucket's events, to look sooner.",
            example="https://sqs.eu-west-1.amazonaws.com/123456789012/acme",
        ),
    ] = ""
    prefix: Annotated[str, option("Put before every path, below the customer's home.", example="inbound/scans/")] = (
        "inbound/"
    )
    complete: Annotated[
        Literal["stable", "rename", "marker", "lock"],
        option(
            "When a file is whole: `stable`, it has not changed for `stable_s`; `rename`, as soon as no glob of `ignore` fits its name; "
            "`marker`, a file of this name with an ending of `marker` is beside it, and no older; `lock`, nobody holds a lock on it."
        ),
    ] = "stable"
    stable_s: Annotated[float, option("How long nothing of a file may change.", unit="s", gt=0)] = 5.0
    marker: Annotated[
        Texts, option("What the names of markers end with; such files are no files to take.", example=[".ok"])
    ] = (".done", ".ready")
    ignore: Annotated[Globs, option("Globs over names of files and folders that are left alone.")] = (
        ".*",
        "*~",
        "*.tmp",
        "*.temp",
        "*.part",
        "*.partial",
        "*.filepart",
        "*.crdownload",
    )
    original: Annotated[
        Literal["keep", "delete", "move"],
        option("What becomes of a file that is in custody; `move` needs `move_to`."),
    ] = "keep"
    move_to: Annotated[Path | None, option("Where `move` puts it, under the same path.", example="/srv/drop/taken")] = (
        None
    )
    scan_s: Annotated[
        float, option("The folder is looked through at least so often, whatever the system tells.", unit="s", gt=0)
    ] = 10.0
    late_s: Annotated[float, option("A file that is not whole for so long counts as unaccounted.", unit="s", gt=0)] = (
        900.0
    )

    def __post_init__(self) -> None:
        if bool(self.bucket) == bool(self.directory):
            raise ValueError("a source has either a 'directory' or a 'bucket'" + (", not both" if self.bucket else ""))
        if self.bucket and (self.original != "keep" or self.complete != "stable"):
            raise ValueError(
                "a bucket's objects stay, and are whole when they are there: leave out 'original' and 'complete'"
            )
        if self.queue and not self.bucket:
            raise ValueError("a 'queue' tells of a bucket's events: name the 'bucket'")
        if (self.original == "move") != (self.move_to is not None):
            raise ValueError("'original: move' and 'move_to' go together: give both or neither")
        if self.complete == "marker" and not all(self.marker):
            raise ValueError("an ending of 'marker' is empty: every file would be a marker")
        if self.prefix and (why := path_fault(f"{self.prefix}name")):
            raise ValueError(f"the prefix {shown(self.prefix)} {why}")


_DAYS = "Days after which the bytes of a file that {} go for good; null: never."


@dataclass(frozen=True, slots=True)
class Retention:
    """
    For how long the bytes of files stay in custody, counted from their end; records, histories and what was delivered stay. It is for
    files that all of `customer`, `key` and `pipeline` fit; the first in the file that fits a file decides.
    """

    customer: Annotated[Globs, option("Globs over the customer's name; any one fits.", example=["acme*"])] = ()
    key: Annotated[
        Globs, option("Globs over the path below the customer's home; `**` crosses folders.", example=["inbound/**"])
    ] = ()
    pipeline: Annotated[
        Globs, option("Globs over the name of the pipeline that took the file.", example=["claims"])
    ] = ()
    transferred_days: Annotated[
        float | None, option(_DAYS.format("was transferred"), unit="days", example=90, gt=0)
    ] = None
    failed_days: Annotated[float | None, option(_DAYS.format("failed"), unit="days", example=90, gt=0)] = None
    quarantined_days: Annotated[
        float | None, option(_DAYS.format("is quarantined"), unit="days", example=365, gt=0)
    ] = None


@dataclass(frozen=True, slots=True)
class Order:
    """
    Files that are worked on one after another, in the order of their arrival, by group; files of different groups go side by side. The
    first entry that fits a file counts; one that none fits is in no order.
    """

    customer: Annotated[Globs, option("Globs over the customer's name; any one fits.", example=["acme*"])] = ()
    key: Annotated[
        Globs,
        option(
            "Globs over the path below the customer's home; `**` crosses folders.", example=["inbound/positions/**"]
        ),
    ] = ()
    by: Annotated[
        By,
        option(
            "Files of one customer for which this is the same make a group. Of the path below the customer's home there are `{folder}`, "
            "`{name}`, `{stem}`, `{suffix}` and `{key}`, which is the whole: by it the versions of each name are in order.",
            example="{key}",
        ),
    ] = "{folder}"
    after_failure: Annotated[
        Literal["hold", "go_on"],
        option(
            "What the others of a group do when a file has failed for good, is quarantined, or is taken by no pipeline: `hold`, they wait "
            "until it is replayed or cancelled; `go_on`, the next has its turn."
        ),
    ] = "hold"


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration as it is written. Relative paths start at the directory of the file."""

    data: Annotated[
        Path,
        option("Where the ledger, the store, the host key and the signing keys are.", example="/var/lib/wharfinger"),
    ] = Path("wharf-data")
    store: Annotated[
        str,
        option(
            "Where objects are kept: `local` in the data directory, or a URL: file:///path, s3://bucket/prefix.",
            example="file:///srv/objects",
        ),
    ] = "local"
    ledger: Annotated[
        str,
        option(
            "Where facts are kept: `sqlite` in the data directory, another file by URL, or a Postgres database. The password of that is "
            "in PGPASSWORD or in a file (`?passfile=/etc/wharf/pgpass`), never in the URL.",
            example="postgresql://wharf@db.example/wharf",
        ),
    ] = "sqlite"
    bucket: Annotated[
        Name, option("The bucket of the store that arrivals land in.", example="landing"), AfterValidator(_free)
    ] = "inbox"
    min_free: Annotated[
        int, option("Uploads are refused when the disk has less room than this.", unit="bytes", example=1 << 30, ge=0)
    ] = 256 << 20
    listeners: Annotated[Listeners, option("How files come in.")] = field(default_factory=Listeners)
    workers: Annotated[Workers, option("The processes that run pipelines.")] = field(default_factory=Workers)
    log: Annotated[Log, option("What the processes say on stderr.")] = field(default_factory=Log)
    metrics: Annotated[Metrics | None, option("Figures for Prometheus; null for none.", example={"port": 9464})] = None
    customers: Annotated[Mapping[Name, Customer | None], option("The owners of files, by name.")] = field(
        default_factory=dict
    )
    sources: Annotated[Mapping[Name, Source], option("Folders that files are taken from, by name.")] = field(
        default_factory=dict
    )
    order: Annotated[
        tuple[Order, ...],
        BeforeValidator(in_order, json_schema_input_type=list[Order]),
        option("Files that are worked on one after another."),
    ] = ()
    destinations: Annotated[Mapping[Name, Destination], option("Where pipelines deliver to, by name.")] = field(
        default_factory=dict
    )
    retention: Annotated[
        Mapping[Name, Retention],
        option("For how long the bytes of files are kept, by rules with names; for ever where none fits."),
    ] = field(default_factory=dict)
    pipelines: Annotated[
        Mapping[Name, PipelineEntry], option("What becomes of files; the first that fits takes a file.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoundStep:
    """One step of a pipeline, ready to run. `uses` names it, `options` is an instance of its options class."""

    name: str  # unique in the pipeline; the step's name where none is given
    uses: str
    version: str
    options: Any
    when: Callable[[Mapping[str, Any]], bool] | None  # None: always
    checkpoint: bool


@dataclass(frozen=True, slots=True)
class BoundBranch:
    """One pipeline that a step calls."""

    pipeline: str
    when: Callable[[Mapping[str, Any]], bool] | None = None  # None: always


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A step that calls pipelines, each as a child run. `kind` is the key that says so: pipeline, each, parallel, choose, copies."""

    name: str  # unique in the pipeline
    kind: str
    branches: tuple[BoundBranch, ...]
    when: Callable[[Mapping[str, Any]], bool] | None
    on_child_failure: str
    members: int  # most files in an archive, where kind is each


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline, resolved. `revision` is the SHA-256 (hex) of `document`, its canonical JSON with every default filled in."""

    name: str
    route: Route
    accepts: Callable[[Mapping[str, Any]], bool]  # the route's `when`; always true where there is none
    steps: tuple[BoundStep | BoundCall, ...]
    retry: Retry
    revision: str
    document: str
    is_routed: bool = True  # False: it takes only what other pipelines hand it


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    path: Path  # of the file it came from; relative paths in it start at its directory
    data: Path  # the data directory
    store: str  # URL
    ledger: str  # URL
    bucket: str  # the store's bucket that arrivals land in
    min_free: int  # bytes; uploads are refused below
    listeners: Listeners
    workers: Workers
    log: Log
    metrics: Metrics | None
    customers: Mapping[str, Customer]
    sources: Mapping[str, Source]
    order: tuple[Order, ...]
    destinations: Mapping[str, Destination]
    retention: Mapping[str, Retention]  # in file order: the first that fits a file decides
    pipelines: tuple[Pipeline, ...]  # in file order: the first that fits takes the file
