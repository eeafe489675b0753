"""Requests to URLs that users give: one guarded way out, which leads to no address of ours."""
