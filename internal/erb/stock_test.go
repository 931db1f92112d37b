package erb_test

import (
	"testing"

	"drover/internal/erb"
	"drover/internal/job"
)

// Templates of the kinds that come with an installation elsewhere, in our own words:
// what they are made of must go on working.
var stock = []struct {
	name, body string
	inputs     []job.Input
	values     map[string]string
	want       string
}{
	{
		name:   "a command",
		body:   `<%= input("command") %>`,
		inputs: []job.Input{{Name: "command", Kind: job.InputUser, Required: true}},
		values: map[string]string{"command": "for i in 1 2; do\n  echo \"$i\" '<%= x %>'\ndone"},
		want:   "for i in 1 2; do\n  echo \"$i\" '<%= x %>'\ndone",
	},
	{
		name: "a service",
		body: `<%#
name: Service
%>
<% if @host.operatingsystem.family == "Debian" && @host.operatingsystem.major.to_i < 8 -%>
service <%= input("service") %> <%= input("action") %>
<% else -%>
systemctl <%= input("action") %> -- <%= shell_escape(input("service")) %>
<% end -%>
<% if %w[restart start].include?(input("action")) -%>
sleep 1
<% end -%>`,
		inputs: []job.Input{{Name: "action", Kind: job.InputUser, Required: true, Options: []string{"start", "restart"}}, {Name: "service", Kind: job.InputUser, Required: true}},
		values: map[string]string{"action": "restart", "service": "a b"},
		want:   "\nsystemctl restart -- a\\ b\nsleep 1\n",
	},
	{
		name: "a package",
		body: `#!/bin/bash
<%
  supported = ['Debian', 'Redhat', 'Suse']
  family = @host.operatingsystem.family
  render_error(N_('Packages are managed on %s only') + ': ' + supported.join(', ')) unless supported.include?(family)
  action = input('action')
  wanted = input('package').to_s.split(/[\s,]+/).reject(&:empty?).map { |p| shell_escape(p) }.join(' ')
-%>
<% unless input('pre').blank? -%>
<%= input('pre') %>
<% end -%>
<%= case family
    when 'Debian'
      tool = "apt-get -y"
      action = 'full-upgrade' if action == 'upgrade all'
      "#{tool} #{action} #{wanted}".strip
    when 'Redhat', 'Suse'
      "#{family == 'Suse' ? 'zypper -n' : 'dnf -y'} #{action} #{wanted}"
    end
%>
RETVAL=$?
<%- if input('post').present? -%>
  <%= indent(2) { input('post') } %>
<%- end -%>
exit $RETVAL
`,
		inputs: []job.Input{{Name: "action", Kind: job.InputUser}, {Name: "package", Kind: job.InputUser}, {Name: "pre", Kind: job.InputUser}, {Name: "post", Kind: job.InputUser}},
		values: map[string]string{"action": "install", "package": "vim, less  curl;id", "post": "echo a\necho b"},
		want:   "#!/bin/bash\napt-get -y install vim less curl\\;id\nRETVAL=$?\n    echo a\n  echo b\nexit $RETVAL\n",
	},
	{
		name: "power",
		body: `echo '<%= input('action') %> in a moment'
<%= case input('action')
    when 'restart'
      'shutdown -r +1'
    else
      'shutdown -h +1'
    end %>
`,
		inputs: []job.Input{{Name: "action", Kind: job.InputUser, Required: true}},
		values: map[string]string{"action": "restart"},
		want:   "echo 'restart in a moment'\nshutdown -r +1\n",
	},
	{
		name: "a module",
		body: `<% if @host.operatingsystem.respond_to?(:major) && @host.operatingsystem.family == 'Redhat' && @host.operatingsystem.major.to_i > 7 -%>
dnf module <%= input('action') %> -y <%= input('module') %> <%= input('options') %>
<% else -%>
<% render_error(N_('Modules are managed on a newer system only')) if input('strict') == 'true' -%>
echo 'no modules' >&2; exit 1
<% end -%>
`,
		inputs: []job.Input{{Name: "action", Kind: job.InputUser}, {Name: "module", Kind: job.InputUser}, {Name: "options", Kind: job.InputUser}, {Name: "strict", Kind: job.InputUser}},
		values: map[string]string{"action": "enable", "module": "nodejs:20"},
		want:   "echo 'no modules' >&2; exit 1\n",
	},
	{
		name: "Puppet, once",
		body: `<%
  windows = @host.operatingsystem&.family == 'Windows'
  puppet = windows ? '"C:\Program Files\Puppet Labs\Puppet\bin\puppet"' : "/opt/puppetlabs/bin/puppet"
  options = ["--onetime", "--no-usecacheonfailure", "--no-daemonize", "--verbose"]
  options << "--noop" if truthy?(input("noop"))
  options << input("extra") unless input("extra").blank?
-%>
<% unless windows -%>
export PATH="$PATH:/opt/puppetlabs/bin"
<% end -%>
<%= puppet %> agent <%= options.join(' ') %><%= " --environment #{host_param('environment')}" if host_param('environment') %>
<%- if host_param_true?('yes') -%>
EXIT=$?
[ $EXIT -eq 2 ] && exit 0
<%- end -%>
`,
		inputs: []job.Input{{Name: "noop", Kind: job.InputUser, Default: ptr("true")}, {Name: "extra", Kind: job.InputUser}},
		want: "export PATH=\"$PATH:/opt/puppetlabs/bin\"\n/opt/puppetlabs/bin/puppet agent --onetime --no-usecacheonfailure --no-daemonize --verbose --noop\n" +
			"EXIT=$?\n[ $EXIT -eq 2 ] && exit 0\n",
	},
	{
		name: "Puppet's agent, off",
		body: `<%= input("puppet_path") || "puppet" %> agent --disable "Disabled by <%= current_user %> with <%= template_name %>: <%= input('reason').presence || 'no reason' %>"
`,
		inputs: []job.Input{{Name: "puppet_path", Kind: job.InputVariable, Source: "role"}, {Name: "reason", Kind: job.InputUser}},
		values: map[string]string{"reason": " "},
		want:   "web agent --disable \"Disabled by ops with Main: no reason\"\n",
	},
	{
		name: "a module's installation by another template",
		body: `<%= render_template('package', 'action' => 'module install', 'package' => "#{input('target')}#{' --force' if input('force') == 'true'}") -%>

done
`,
		inputs: []job.Input{{Name: "target", Kind: job.InputUser}, {Name: "force", Kind: job.InputUser}},
		values: map[string]string{"target": "stdlib", "force": "true"},
		want:   "pkg module install stdlib --force debian\ndone\n",
	},
	{
		name: "a script that is downloaded",
		body: `#!/bin/sh
set -e
dir=$(mktemp -d)
<% url = input('url') -%>
<% if url =~ /\Ahttps:/ && !truthy?(host_param('insecure', false)) -%>
curl --fail --silent --show-error <%= shell_escape(url) %> > "$dir/script"
<% elsif url.start_with?('http:') -%>
curl --fail <%= shell_escape(url) %> > "$dir/script"
<% else -%>
<% render_error("cannot download from #{url}") -%>
<% end -%>
<% (input('environment') || '').lines.map(&:strip).reject { |l| l.empty? || l.start_with?('#') }.each_with_index do |line, i| -%>
<%= "export #{line.split('=', 2).first}=#{shell_escape(line.split('=', 2).last)} # #{i + 1}" %>
<% end -%>
sh "$dir/script" <%= input('arguments') %>
`,
		inputs: []job.Input{{Name: "url", Kind: job.InputUser}, {Name: "environment", Kind: job.InputUser}, {Name: "arguments", Kind: job.InputUser}},
		values: map[string]string{"url": "https://example.net/a?b=c&d", "environment": "# none\nA=1\n\n B=two words\n"},
		want: "#!/bin/sh\nset -e\ndir=$(mktemp -d)\ncurl --fail --silent --show-error https://example.net/a\\?b\\=c\\&d > \"$dir/script\"\n" +
			"export A=1 # 1\nexport B=two\\ words # 2\nsh \"$dir/script\" \n",
	},
}

func TestRender_StockTemplates(t *testing.T) {
	for _, c := range stock {
		e := env()
		e.Inputs, e.Values = c.inputs, c.values
		if err := erb.Check(c.body); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := erb.Render(t.Context(), c.body, e)
		if err != nil || got != c.want {
			t.Errorf("%s\n got %q, %v\nwant %q", c.name, got, err, c.want)
		}
	}
}
