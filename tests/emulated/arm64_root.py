"""A root of Debian 12 for arm64: built once by mmdebstrap, kept as a tarball outside the repository.

Bare, as a fresh SD card is: Python without pip, venv or packages, and OpenSSH. What each package's scripts would do is
done by hand (`--variant=extract`): running them under emulation takes ten minutes, and this half a minute.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from tests.conftest import kept_folder

SUITE = "bookworm"
PACKAGES = (
    "base-files,base-passwd,bash,coreutils,dash,debianutils,findutils,grep,hostname,libc-bin,libstdc++6,login,mawk,"
    "openssh-server,openssh-sftp-server,passwd,procps,python3,sed,tar,util-linux"
)
_DROPPED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
#: Debian 12 has merged /usr, which base-files expects to find done.
_MERGE_USR = 'for d in bin sbin lib; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'
USER, USER_ID = "pi", 1000
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = Path("/usr/bin/qemu-aarch64-static")
_REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def why_not() -> str | None:
    """Return why this machine can't have an emulated board, or None where it can (and its kernel knows QEMU now)."""
    if platform.system() != "Linux":
        return "an emulated board needs Linux"
    if os.geteuid() != 0:
        return "an emulated board needs root (unshare, chroot, mount)"
    if platform.machine() != "aarch64" and not (_QEMU.exists() and _REGISTRATION.exists()):
        return "qemu-user-static is not installed; try: apt install qemu-user-static"
    missing = [name for name in ("mmdebstrap", "zstd", "unshare", "setpriv", "chroot") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed; try: apt install mmdebstrap zstd"
    try:
        register_emulator()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this kernel can't be told to start arm64 programs with QEMU: {error}"
    return None


def register_emulator() -> None:
    """Have the kernel start arm64 programs with QEMU, where no systemd has done so.

    Raises:
        OSError, CalledProcessError: the kernel has no binfmt_misc, or does not let us.
    """
    if platform.machine() == "aarch64":
        return
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True, capture_output=True)
    if not (_BINFMT / "qemu-aarch64").exists():
        (_BINFMT / "register").write_bytes(_REGISTRATION.read_bytes().strip())


def unpack_root(folder: Path, *more: str) -> None:
    """Fill a new folder with the root, building it first where no earlier test has; `more`: further packages.

    Those have a tarball of their own, which is unpacked over the root that every emulated board has.
    """
    tarballs = [_tarball(PACKAGES), *([_tarball(",".join(more))] if more else [])]
    folder.mkdir(parents=True)
    for tarball in tarballs:
        subprocess.run(["tar", "--zstd", "-xf", tarball, "-C", folder], check=True)
    _finish(folder)


def _tarball(packages: str) -> Path:
    """Return the tarball of the packages, built under a lock: several test processes make one."""
    recipe = repr((SUITE, packages, _DROPPED, _MERGE_USR))
    tarball = kept_folder() / f"arm64-{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar.zst"
    with tarball.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            _build(tarball, packages)
    return tarball


def _build(tarball: Path, packages: str) -> None:
    part = tarball.with_name(f"part-{tarball.name}")
    options = [
        "--quiet",
        "--variant=extract",
        "--arch=arm64",
        f"--include={packages}",
        f"--setup-hook={_MERGE_USR}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _DROPPED),
    ]
    done = subprocess.run(
        ["mmdebstrap", *options, SUITE, part], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap can't build the board's root: {done.stderr[-800:]}")
    part.replace(tarball)


def _finish(root: Path) -> None:
    """Do what the packages' scripts would: users, folders, links."""
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    _append(
        root / "etc/passwd",
        "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin",
        f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash",
    )
    _append(root / "etc/group", f"{USER}:x:{USER_ID}:")
    # '*' refuses passwords; a locked account ('!') would refuse keys, too.
    (root / "etc/shadow").write_text(f"root:*:19000:0:99999:7:::\nsshd:*:19000::::::\n{USER}:*:19000:0:99999:7:::\n")
    (root / "etc/shadow").chmod(0o600)
    for place in ("dev", "proc", "run", "sys", "tmp"):
        (root / place).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    home = root / "home" / USER
    home.mkdir(parents=True)
    os.chown(home, USER_ID, USER_ID)
    awk = root / "usr/bin/awk"
    if not awk.is_symlink():
        awk.symlink_to("mawk")


def _append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
