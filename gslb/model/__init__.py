"""The frozen vocabulary every floor above speaks: names, places, edges, services, views, reports."""
