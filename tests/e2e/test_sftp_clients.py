"""The SFTP rules, each with the clients that partners use."""

from __future__ import annotations

import asyncio
import filecmp
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import paramiko
import pytest

from rig.clients import lftp, need, psftp, random_file, rclone, run, scp, sftp, ssh, ssh_options
from rig.listener import PASSWORD, SftpServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()
    assert server.log() == ""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return random_file(tmp_path / "source", 3_500_000)


# -- OpenSSH


def test_sftp_puts_gets_lists_renames_and_removes(server: SftpServer, source: Path, tmp_path: Path) -> None:
    back = tmp_path / "back"
    listing = sftp(
        server,
        f"put {source} inbound/o1\nget inbound/o1 {back}\nmkdir inbound/od\nrename inbound/o1 inbound/od/o2\n"
        "ls -l inbound/od\ncd inbound/od\nls ..\npwd\ndf\nrm o2\ncd ..\nrmdir od\n",
    ).stdout
    assert filecmp.cmp(source, back, shallow=False)
    assert "3500000" in listing
    assert "/inbound/od" in listing
    assert server.versions("inbound/o1") == [source.read_bytes()]
    assert [f.key for f in server.files() if "/o" in f.key] == ["acme/inbound/o1"]
    assert server.entry("inbound/od") is None


def test_sftp_p_sets_the_time_and_makes_one_arrival(server: SftpServer, source: Path) -> None:
    sftp(server, f"put -p {source} inbound/op\n")
    entry = server.entry("inbound/op")
    assert entry
    assert entry.mtime == 1_700_000_000
    assert len(server.versions("inbound/op")) == 1


def test_an_empty_file_arrives(server: SftpServer, tmp_path: Path) -> None:
    sftp(server, f"put {random_file(tmp_path / 'empty', 0)} inbound/o-empty\n")
    assert server.versions("inbound/o-empty") == [b""]


def test_the_same_name_again_is_a_new_version(server: SftpServer, source: Path, tmp_path: Path) -> None:
    second = random_file(tmp_path / "second", 10_000)
    sftp(server, f"put {source} inbound/o7\nput {second} inbound/o7\nput {second} inbound/o7\n")
    assert server.versions("inbound/o7") == [source.read_bytes(), second.read_bytes(), second.read_bytes()]


def test_rename_replaces_and_the_plain_one_of_the_draft_does_not(server: SftpServer, tmp_path: Path) -> None:
    one, two = random_file(tmp_path / "one", 1000), random_file(tmp_path / "two", 2000)
    sftp(server, f"put {one} inbound/r1\nput {two} inbound/r2\n")
    assert sftp(server, "rename -l inbound/r1 inbound/r2\n", check=False).returncode != 0
    sftp(server, f"rename inbound/r1 inbound/r2\nget inbound/r2 {tmp_path / 'back'}\n")
    assert filecmp.cmp(one, tmp_path / "back", shallow=False)
    assert (len(server.versions("inbound/r1")), len(server.versions("inbound/r2"))) == (1, 1)


@pytest.mark.parametrize("name", ["with space", "hash#1", "käse…", "~a", ".hidden", "a&b;c", "*"])
def test_names_that_mean_something_elsewhere_are_just_names(server: SftpServer, tmp_path: Path, name: str) -> None:
    local = random_file(tmp_path / "n", 100)
    sftp(server, f'put {local} "inbound/{name}"\nls -l inbound\n')
    assert server.versions(f"inbound/{name}") == [local.read_bytes()]


def test_bad_names_and_ways_out_are_refused(server: SftpServer, tmp_path: Path) -> None:
    local = random_file(tmp_path / "n", 100)
    before = len(server.files())
    for target in ("inbound/a\\\\b", "inbound/../../evil", f"inbound/{'x' * 256}", "/../evil/../../a\\\\"):
        assert sftp(server, f'put {local} "{target}"\n', check=False).returncode != 0
    for command in ("ln -s /etc/passwd inbound/link\n", "ln inbound inbound/link\n"):
        assert sftp(server, command, check=False).returncode != 0
    assert len(server.files()) == before


def test_a_customers_tree_is_not_anothers(server: SftpServer, tmp_path: Path) -> None:
    local = random_file(tmp_path / "n", 100)
    sftp(server, f"put {local} inbound/mine\n")
    assert sftp(server, "ls inbound/mine\n", user="eve", check=False).returncode != 0
    assert sftp(server, "ls ../acme\n", user="eve", check=False).returncode != 0
    sftp(server, "ls inbound/mine\n", user="bob")


def test_scp_exits_0_and_a_shorter_overwrite_leaves_no_tail(server: SftpServer, source: Path, tmp_path: Path) -> None:
    short = random_file(tmp_path / "short", 100_000)
    for path in (source, short):
        done = scp(server, path, "inbound/s1")
        assert (done.returncode, done.stderr) == (0, "")
    assert server.versions("inbound/s1") == [source.read_bytes(), short.read_bytes()]


def test_scp_of_the_same_bytes_changes_nothing(server: SftpServer, source: Path) -> None:
    for _ in range(2):
        assert scp(server, source, "inbound/s2").returncode == 0
    assert len(server.versions("inbound/s2")) == 1


def test_the_old_scp_protocol_shells_and_commands_are_refused_with_a_sentence(server: SftpServer, source: Path) -> None:
    for done in (scp(server, source, "inbound/s3", "-O"), ssh(server), ssh(server, "md5sum", "x")):
        assert done.returncode != 0
        assert "SFTP only" in done.stderr
    assert server.versions("inbound/s3") == []


def test_forwarding_is_refused(server: SftpServer) -> None:
    words = ["-p", str(server.port), "-W", f"127.0.0.1:{server.port}", "ann@127.0.0.1"]
    done = run([need("ssh"), *ssh_options(server.key), *words], check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")
    listening = ["-p", str(server.port), "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "ann@127.0.0.1"]
    assert run([need("ssh"), *ssh_options(server.key), *listening], check=False).returncode != 0


# -- lftp


def test_lftp_puts_with_one_arrival(server: SftpServer, source: Path) -> None:
    lftp(server, f"put {source} -o inbound/l1; ls inbound")
    assert server.versions("inbound/l1") == [source.read_bytes()]
    entry = server.entry("inbound/l1")
    assert entry
    assert entry.mtime == 1_700_000_000


def test_lftp_mirrors_a_tree_and_finds_it_the_same_afterwards(server: SftpServer, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    for n in range(12):
        random_file(tree / ("deep/er" if n % 2 else "deep") / f"f {n}", 1000 * n)
    lftp(server, f"mirror -R -P 4 {tree} inbound/mirrored")
    arrived = [f for f in server.files() if "/mirrored/" in f.key]
    assert len(arrived) == 12
    lftp(server, f"mirror -R -P 4 {tree} inbound/mirrored")
    assert len([f for f in server.files() if "/mirrored/" in f.key]) == 12
    lftp(server, f"mirror inbound/mirrored {tmp_path / 'back'}")
    same = filecmp.dircmp(tree / "deep", tmp_path / "back" / "deep")
    assert (same.left_only, same.right_only, same.diff_files) == ([], [], [])


def test_lftp_makes_folders_in_folders_at_once(server: SftpServer, source: Path, tmp_path: Path) -> None:
    lftp(server, "mkdir -p inbound/a/b/c/d; cd inbound/a/b/c/d")
    (tmp_path / "m").mkdir()
    random_file(tmp_path / "m" / "f", 1000)
    lftp(server, f"mirror -R {tmp_path / 'm'} inbound/n1/n2/n3; mput -d -O inbound/q1/q2 {source}")
    assert server.entry("inbound/n1/n2/n3/f")
    assert [f for f in server.files() if "/q1/q2/" in f.key]


def test_lftp_shows_why_a_name_is_refused(server: SftpServer, source: Path) -> None:
    done = lftp(server, f'put {source} -o "inbound/a\\\\\\\\b"', check=False)
    assert done.returncode != 0
    assert "backslash" in done.stderr


# -- rclone


def test_rclone_copies_padded_writes_and_is_content_with_the_size(server: SftpServer, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(6):
        random_file(tree / f"f{n}", 300_000 * n)
    rclone(server, "copy", str(tree), ":sftp:inbound/rc")
    for path in tree.iterdir():
        assert server.versions(f"inbound/rc/{path.name}") == [path.read_bytes()]
    rclone(server, "copy", str(tree), ":sftp:inbound/rc")
    assert len([f for f in server.files() if "/rc/" in f.key]) == 6
    rclone(server, "check", str(tree), ":sftp:inbound/rc", "--size-only")
    rclone(server, "check", str(tree), ":sftp:inbound/rc", "--download")


def test_rclone_shows_why_a_name_is_refused(server: SftpServer, source: Path) -> None:
    done = rclone(server, "copyto", str(source), f":sftp:inbound/{'x' * 256}", check=False)
    assert done.returncode != 0
    assert "256 bytes" in done.stderr


# -- PuTTY


def test_psftp_puts_and_gets_by_password(server: SftpServer, source: Path, tmp_path: Path) -> None:
    psftp(server, f"put {source} inbound/p1\nget inbound/p1 {tmp_path / 'back'}\nls inbound\n")
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)
    assert server.versions("inbound/p1") == [source.read_bytes()]


# -- curl


def test_curl_puts(server: SftpServer, source: Path) -> None:
    if "sftp" not in run([need("curl"), "--version"]).stdout.split():
        pytest.skip("this curl has no SFTP")
    words = ["-sS", "-k", "-u", f"ann:{PASSWORD}", "-T", str(source)]
    run([need("curl"), *words, f"sftp://127.0.0.1:{server.port}/inbound/c1"])
    assert server.versions("inbound/c1") == [source.read_bytes()]


# -- libraries


def test_paramiko_puts_and_checks_the_size(server: SftpServer, source: Path, tmp_path: Path) -> None:
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1", server.port, "ann", key_filename=str(server.key), allow_agent=False, look_for_keys=False
        )
        with client.open_sftp() as sftp:
            assert sftp.put(str(source), "inbound/k1", confirm=True).st_size == 3_500_000
            sftp.get("inbound/k1", str(tmp_path / "back"))
            with sftp.open("inbound/k1", "a") as file:
                file.write(b"more")
            with sftp.open("inbound/k1", "r+") as file:
                file.seek(0)
                file.write(b"HEAD")
            sftp.posix_rename("inbound/k1", "inbound/k2")
            assert sftp.stat("inbound/k2").st_size == 3_500_004
    data = source.read_bytes()
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)
    assert server.versions("inbound/k1") == [data, data + b"more", b"HEAD" + data[4:] + b"more"]


def test_asyncssh_puts_many_at_once(server: SftpServer, tmp_path: Path) -> None:
    paths = [random_file(tmp_path / f"a{n}", 20_000) for n in range(40)]

    async def put() -> None:
        options = {"username": "ann", "client_keys": [str(server.key)], "known_hosts": None, "config": None}
        async with asyncssh.connect("127.0.0.1", server.port, **options) as conn, conn.start_sftp_client() as client:
            assert client.limits.max_write_len == 261_120
            await asyncio.gather(*(client.put(str(path), f"inbound/{path.name}") for path in paths))
            async with client.open("inbound/a0", "ab") as file:
                await file.write(b"x")
                await file.write(b"y")
            await client.get("inbound/a1", str(tmp_path / "back"))
            assert (await client.statvfs("/")).bavail > 0

    asyncio.run(put())
    assert [server.versions(f"inbound/{p.name}")[0] for p in paths] == [p.read_bytes() for p in paths]
    assert server.versions("inbound/a0")[1] == paths[0].read_bytes() + b"xy"
    assert filecmp.cmp(paths[1], tmp_path / "back", shallow=False)
