"""Commands: parse, call one public function, render."""
