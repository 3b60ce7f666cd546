"""Writing files so that a kill or a full disk leaves the old one or the new one, never half of one."""
