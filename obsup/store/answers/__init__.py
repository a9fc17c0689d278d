"""From the response of a store to a value, or to a failure and its rule. No module here sends anything."""
