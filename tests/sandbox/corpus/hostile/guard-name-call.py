# rejected forbidden-name
result = _getattr_("", "__class__")
