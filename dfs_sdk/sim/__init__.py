"""Networks for study: several nodes in one kernel, looked at as one."""
