# ok
# -*- coding: utf-7 -*-
result = '+AGEAYg-'
