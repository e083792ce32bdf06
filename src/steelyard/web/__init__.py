"""The local page: it parses what the browser sends, calls one public function of a lower room, and renders."""
