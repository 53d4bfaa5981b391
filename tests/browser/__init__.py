"""Tests in a real JupyterLab in a real Chromium; a package, so that the browser ends with its last test."""
