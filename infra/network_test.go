package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const vpcID = "vpc-0123456789abcdef0"

var inVPC = map[string]any{"vpcId": vpcID, "subnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1", "routeTableIds": "rtb-0123456789abcdef0"}

// TestNetwork: with a VPC the executor, and nothing else, is in its subnets, and
// what it calls of AWS it reaches there.
func TestNetwork(t *testing.T) {
	template := synth(t, inVPC)
	group, outward := one(t, template, "AWS::EC2::SecurityGroup", "ExecutorGroup")
	if outward["VpcId"] != vpcID || outward["SecurityGroupIngress"] != nil {
		t.Errorf("executors' group %v", toJSON(t, outward))
	}
	groupID := toJSON(t, object{"Fn::GetAtt": []any{group, "GroupId"}})
	for _, f := range functions() {
		_, p := one(t, template, "AWS::Lambda::Function", f.id())
		want := "null"
		if f.network {
			want = `{"SecurityGroupIds":[` + groupID + `],"SubnetIds":["subnet-0123456789abcdef0","subnet-0123456789abcdef1"]}`
		}
		if got := toJSON(t, p["VpcConfig"]); got != want {
			t.Errorf("%s: network %s", f.name, got)
		}
		_, role := one(t, template, "AWS::IAM::Role", f.id()+"Role")
		joins := slices.ContainsFunc(statements(t, role), func(s object) bool {
			return s["Sid"] == networkSid && s["Resource"] == "*" && slices.EqualFunc(list(s["Action"]), networkActions, func(a any, b string) bool { return a == b })
		})
		if joins != f.network {
			t.Errorf("%s may join the network: %v", f.name, joins)
		}
	}

	endpointGroup, inward := one(t, template, "AWS::EC2::SecurityGroup", "EndpointGroup")
	if got := toJSON(t, inward["SecurityGroupIngress"]); !strings.Contains(got, `"FromPort":443`) || !strings.Contains(got, groupID) || len(inward["SecurityGroupIngress"].([]any)) != 1 {
		t.Errorf("endpoints are open to %s", got)
	}
	got := map[string]string{}
	for _, e := range all(template, "AWS::EC2::VPCEndpoint") {
		service := toJSON(t, e["ServiceName"])
		service = strings.TrimSuffix(service[strings.LastIndex(service, ".")+1:], `"]]}`)
		got[service] = toJSON(t, []any{e["VpcEndpointType"], e["VpcId"], e["RouteTableIds"], e["SubnetIds"], e["PrivateDnsEnabled"], e["SecurityGroupIds"]})
	}
	gateway := `["Gateway","` + vpcID + `",["rtb-0123456789abcdef0"],null,null,null]`
	inside := `["Interface","` + vpcID + `",null,["subnet-0123456789abcdef0","subnet-0123456789abcdef1"],true,[{"Fn::GetAtt":["` + endpointGroup + `","GroupId"]}]]`
	// What the executor may call, by its policy, is what has an endpoint.
	want := map[string]string{}
	for _, f := range functions() {
		for _, r := range f.rights {
			if service, _, _ := strings.Cut(r.actions[0], ":"); f.network {
				want[service] = map[bool]string{true: gateway, false: inside}[service == "dynamodb" || service == "s3"]
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("endpoints\n got %v\nwant %v", got, want)
	}
}

// TestNetworkOfItsOwn: a VPC with a NAT gateway, or with endpoints, gets no
// others; and without a VPC there is nothing of one.
func TestNetworkOfItsOwn(t *testing.T) {
	existing := synth(t, map[string]any{"vpcId": "vpc-1", "subnetIds": "subnet-a", "vpcEgress": "existing"})
	if n := len(all(existing, "AWS::EC2::VPCEndpoint")); n != 0 {
		t.Errorf("%d endpoints", n)
	}
	if _, p := one(t, existing, "AWS::Lambda::Function", "Executor"); p["VpcConfig"] == nil {
		t.Error("the executor is not in the VPC")
	}
	if got := toJSON(t, template(t)); strings.Contains(got, "VpcConfig") || strings.Contains(got, "AWS::EC2") || strings.Contains(got, networkSid) {
		t.Error("there is a network without a VPC")
	}
}

// TestNetworkRefused: what would not work is refused before anything is made.
func TestNetworkRefused(t *testing.T) {
	template(t) // skips where there is no Node
	for want, context := range map[string]map[string]any{
		"needs subnetIds":                        {"vpcId": "vpc-1"},
		"needs routeTableIds":                    {"vpcId": "vpc-1", "subnetIds": "subnet-a"},
		"endpoints or existing, not nat":         {"vpcId": "vpc-1", "subnetIds": "subnet-a", "vpcEgress": "nat"},
		"tags: team is not NAME=VALUE":           {"tags": "team"},
		"vpcId is missing, and subnetIds is set": {"subnetIds": "subnet-a"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("%v: %s", context, got)
				}
			}()
			synth(t, context)
		}()
	}
}
