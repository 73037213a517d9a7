"""The board's clock governor and power mode: set for a session, then restored.

The original settings are written into power.json before anything is changed. They are restored when the session ends;
if its host died, by the next owner of the board's lease or by the session's guard. Nothing ever asks for a password.
"""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..board.kernel_files import boot_id, read_int, read_text
from ..board.sensors.command import find_command
from ..board.sensors.cpufreq import cpu_folders
from ..board.sensors.nvpmodel import NVPMODEL, power_mode_number, power_modes, read_power_mode
from ..home import Home
from ..protocol.failure import Failure
from ..protocol.wire import encode_object, one_line

_SUDO = ("usr/bin/sudo",)
_TIMEOUT_S = 30
_MAX_CORES = 4096


class Power:
    """The governor and the power mode of the board whose files are below `root`."""

    def __init__(self, home: Home, root: Path) -> None:
        self._found, self._part = home.power, home.power_part
        self._root = root
        self._boot = boot_id() or "?"

    def show(self) -> Dict[str, Any]:
        """Return the present settings, the possible ones, and why they can't be set (None: they can)."""
        number = power_mode_number(self._root)
        return {
            "governor": self._governor(),
            "governors": self._governors(),
            "governor_refused": self._why_no_governor(),
            "power_mode": number,
            "power_mode_name": read_power_mode(self._root) if number is not None else None,
            "power_modes": {str(mode): name for mode, name in power_modes(self._root).items()},
            "power_mode_refused": self._why_no_power_mode(),
        }

    def set(self, token: int, governor: str, power_mode: Optional[int]) -> Dict[str, Any]:
        """Set what was requested, and verify it; return the present settings. The rest is set to its original value.

        Raises:
            Failure: refused: the board does not accept it, or this user has no right to set it.
        """
        found = self._keep_found(token)
        mode = power_mode if power_mode is not None else found["power_mode"]
        self._set_power_mode(mode)  # first: it may change the clocks, and switch cores on or off
        found = self._keep_new_cores(found)
        for file in self._files():
            self._set_governor(file, governor or found["governors"].get(str(file)) or read_text(file) or "")
        return {"governor": self._governor(), "power_mode": power_mode_number(self._root)}

    def restore(self) -> bool:
        """Restore the original settings; return whether there were any to restore.

        Raises:
            Failure: refused: the record is kept; corrupt: the original settings are unknown.
        """
        found = self._read_found()
        if found is None:
            return False
        with suppress(Failure):  # for cores that the mode is about to switch off, and which keep their governor
            self._restore_governors(found)
        self._set_power_mode(found["power_mode"])
        self._restore_governors(found)
        self.forget()
        return True

    def restore_after(self, token: int, *, keep_damaged: bool = False) -> Optional[str]:
        """Restore the original settings unless they were changed under lease `token`; return why that failed, or None.

        `token` 0: nobody holds the board. `keep_damaged`: keep a damaged record, for a caller that drops the returned
        text: the next caller must still get it.
        """
        try:
            found = self._read_found()
            if found is not None and (not token or found["token"] != token):
                self.restore()
        except (Failure, OSError) as error:
            if not keep_damaged and isinstance(error, Failure) and error.kind == "corrupt":
                self.forget()
            return one_line(f"the board's clocks are not as an earlier session found them: {error}")
        return None

    def _restore_governors(self, found: Dict[str, Any]) -> None:
        """Restore the governors of the cores that are on now."""
        if found["boot"] != self._boot:  # a restart resets the governors
            return
        for file in self._files():
            if str(file) in found["governors"]:
                self._set_governor(file, found["governors"][str(file)])

    def keep(self, token: int) -> bool:
        """Record the original settings before lease `token` changes anything; return whether that is new.

        Raises:
            Failure: corrupt: the original settings are unknown.
        """
        if self.token_on_record() == token:
            return False
        self._keep_found(token)
        return True

    def token_on_record(self) -> Optional[int]:
        """Return the token of the lease under which something is set; None: nothing is, or the record is damaged."""
        try:
            found = self._read_found()
        except Failure:
            return None
        return None if found is None else int(found["token"])

    def forget(self) -> None:
        """Remove the record: everything is restored, or nothing can be."""
        with suppress(FileNotFoundError):
            self._found.unlink()

    # --- the record ---------------------------------------------------------------------------------------------

    def _keep_found(self, token: int) -> Dict[str, Any]:
        """Return the original settings, recorded before the first change."""
        found = self._read_found()
        if found is not None and found["token"] == token:
            return found
        # What an earlier session recorded and could not restore is still to be restored.
        found = (
            {**found, "token": token}
            if found is not None
            else {
                "token": token,
                "boot": self._boot,
                "governors": {str(file): read_text(file) or "" for file in self._files()},
                "power_mode": power_mode_number(self._root),
            }
        )
        self._write_found(found)
        return found

    def _keep_new_cores(self, found: Dict[str, Any]) -> Dict[str, Any]:
        """Return the record with the governors of cores that a power mode has just switched on."""
        new = {str(file): read_text(file) or "" for file in self._files() if str(file) not in found["governors"]}
        if new:
            found = {**found, "governors": {**found["governors"], **new}}
            self._write_found(found)
        return found

    def _write_found(self, found: Dict[str, Any]) -> None:
        with self._part.open("wb") as file:
            file.write(encode_object(found))
            file.flush()
            os.fsync(file.fileno())
        self._part.replace(self._found)

    def _read_found(self) -> Optional[Dict[str, Any]]:
        """Return the original settings; None: nothing was changed.

        Raises:
            Failure: corrupt: the record is damaged.
        """
        try:
            found = json.loads(self._found.read_bytes())
            if (
                type(found["token"]) is not int
                or type(found["boot"]) is not str
                or not (found["power_mode"] is None or type(found["power_mode"]) is int)
                or any(type(value) is not str for value in found["governors"].values())
            ):
                raise ValueError(found)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            mode = power_mode_number(self._root)
            now = f"governor {self._governor() or 'none'}" + ("" if mode is None else f", power mode {mode}")
            raise Failure(
                "corrupt",
                f"{self._found} said what clocks and power mode were before edgebench set them, and is damaged; "
                f"they stay as they are ({now}): set them by hand, or start the board again",
            ) from None
        return dict(found)

    # --- the governor -------------------------------------------------------------------------------------------

    def _files(self) -> List[Path]:
        """Return the governor's file of each core that is on now: a power mode switches cores on and off."""
        on = [folder for folder in cpu_folders(self._root) if read_int(folder / "online") != 0]
        files = [folder / "cpufreq/scaling_governor" for folder in on]
        return [file for file in files if read_text(file) is not None]

    def _governor(self) -> Optional[str]:
        return ", ".join(sorted({read_text(file) or "?" for file in self._files()})) or None

    def _governors(self) -> List[str]:
        """Return the governors that every core supports."""
        offered = [
            set((read_text(file.with_name("scaling_available_governors")) or "").split()) for file in self._files()
        ]
        return sorted(set.intersection(*offered)) if offered else []

    def _why_no_governor(self) -> Optional[str]:
        """Return why the governor can't be set, or None. It sets the present one again, which changes nothing."""
        files = self._files()
        if not files:
            return "the board has no clock governor"
        try:
            for file in files[:_MAX_CORES]:
                self._set_governor(file, read_text(file) or "")
        except Failure as failure:
            return str(failure)
        return None

    def _set_governor(self, file: Path, governor: str) -> None:
        refusal = self._write(file, governor)
        now = read_text(file)
        if now != governor or refusal is not None:
            raise Failure(
                "refused",
                f"the governor stays {now!r} instead of {governor!r}: {refusal or 'the board does not take it'}; "
                f"to let edgebench set it: sudo chmod a+w {file.parent.parent.parent}/cpu*/cpufreq/scaling_governor",
            )

    def _write(self, file: Path, text: str) -> Optional[str]:
        """Write to a kernel file, directly or by sudo without a password; return why that failed, or None."""
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        except OSError as error:
            if os.geteuid() == 0:
                return error.strerror
            return self._run_as_root(["tee", str(file)], text)
        try:
            os.write(descriptor, text.encode())
        except OSError as error:
            return error.strerror
        finally:
            os.close(descriptor)
        return None

    # --- the power mode -----------------------------------------------------------------------------------------

    def _why_no_power_mode(self) -> Optional[str]:
        now = power_mode_number(self._root)
        if now is None:
            return "the board has no power modes"
        command = find_command(self._root, NVPMODEL)
        if command is None:
            return "nvpmodel is not on the board"
        refusal = self._run_as_root([command, "-m", str(now)], "no\n")  # the present mode: it changes nothing
        if refusal is None:
            return None
        fix = f"to let edgebench set it: sudo visudo, and there: YOU ALL=(root) NOPASSWD: {command}"
        return f"nvpmodel needs root: {refusal}; {fix}"

    def _set_power_mode(self, mode: Optional[int]) -> None:
        now = power_mode_number(self._root)
        if mode is None or mode == now:
            return
        command = find_command(self._root, NVPMODEL)
        if command is None:
            raise Failure("refused", "nvpmodel is not on the board")
        # Some modes need a restart, for which nvpmodel asks for permission.
        refusal = self._run_as_root([command, "-m", str(mode)], "no\n")
        now = power_mode_number(self._root)
        if now != mode:
            raise Failure("refused", f"the power mode stays {now} instead of {mode}: {refusal or 'it needs a reboot'}")

    def _run_as_root(self, command: List[str], text: str) -> Optional[str]:
        """Run a command as root, without a password; return why that failed, or None."""
        if os.geteuid() != 0:
            sudo = find_command(self._root, _SUDO)
            if sudo is None:
                return "there is no sudo"
            command = [sudo, "-n", *command]
        try:
            done = subprocess.run(
                command,
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(str(error), 200)
        printed = one_line(done.stdout[-500:].decode("utf-8", "replace"), 200)
        if "reboot" in printed.lower():
            return "it needs a reboot"
        return None if done.returncode == 0 else printed or f"status {done.returncode}"
